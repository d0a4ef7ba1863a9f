"""Pairs judged by whether both images show the same person."""

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from mmtpr.registry import SYNTHESIS

from .base import JudgeRequest, PairJudge, Sample, Verdict
from .loaded_model import JudgingModel

#: Rows and columns where the head of a whole, upright person is.
_HEAD = (0.08, 0.2), (0.3, 0.7)
_SIZE = (64, 32)
#: Distance of black and white in CIELAB.
_FARTHEST = -100.0


@SYNTHESIS.register_module()
class IdentityJudge(PairJudge):
    """Likeness of the two images, against that of strangers.

    Fields: ``cosine`` of the two images; ``strangers``, from 0 to 1: the
    share of a fixed set of other people to whom each image is less like than
    to the other one, of the worse image; ``head``: minus the distance of the
    colours where the head of an upright person is, which clothes do not
    change (hair, skin; a hat does), in CIELAB. ``head`` needs images that
    hold one whole person, as those of person retrieval do.

    Args:
        config (str): Config of a retriever; one trained to tell people apart
            is best.
        checkpoint (str, optional): Its weights. Defaults to None: what the
            config loads.
        num_strangers (int): People of the fixed set. Defaults to 512.
        **kwargs: Of :class:`JudgingModel`: ``device``, ``batch_size``,
            ``num_workers``.
    """

    worst = dict(cosine=-1.0, strangers=0.0, head=_FARTHEST)
    in_batches = True

    def __init__(
        self,
        config: str,
        checkpoint: str | None = None,
        num_strangers: int = 512,
        **kwargs: Any,
    ) -> None:
        if num_strangers < 2:
            raise ValueError(
                f'num_strangers must be > 1, got {num_strangers}.'
            )
        self.model = JudgingModel(config, checkpoint, **kwargs)
        self.num_strangers = num_strangers
        self._others = torch.zeros(0, 0)
        self._records: np.ndarray = np.zeros(0, int)

    def settings(self) -> dict[str, Any]:
        """See :meth:`PairJudge.settings`."""
        return dict(
            judge='IdentityJudge',
            model=self.model.settings(),
            num_strangers=self.num_strangers,
        )

    def prepare(self, sample: Sample) -> None:
        """See :meth:`PairJudge.prepare`."""
        others = sample(self.num_strangers)
        self._records = np.array([one.index for one in others])
        self._others = self._embed([one.target for one in others])

    def _embed(self, paths: Sequence[Any]) -> Tensor:
        tokens = self.model.images(paths)  # (N, T, D)
        return F.normalize(tokens.mean(1), dim=1)  # (N, D)

    def judge(
        self, requests: Sequence[JudgeRequest]
    ) -> Iterator[tuple[JudgeRequest, Verdict]]:
        """See :meth:`PairJudge.judge`."""
        if not requests:
            return
        references = self._embed([one.reference for one in requests])
        targets = self._embed([one.target for one in requests])
        cosines = (references * targets).sum(1)  # (N, )
        records = np.array([one.index for one in requests])
        stranger = torch.from_numpy(
            records[:, None] != self._records[None]
        ).float()  # (N, K)
        shares = [
            ((feats @ self._others.T < cosines[:, None]) * stranger).sum(1)
            / stranger.sum(1).clamp(min=1)
            for feats in (references, targets)
        ]  # 2 x (N, )
        share = torch.minimum(*shares)
        for row, request in enumerate(requests):
            heads = (
                head_colours(request.reference),
                head_colours(request.target),
            )
            scores = dict(
                cosine=float(cosines[row]),
                strangers=float(share[row]),
                head=max(-colour_distance(*heads), _FARTHEST),
            )
            yield request, Verdict(scores)


def head_colours(path: Any) -> np.ndarray:
    """Read the colours where a head should be.

    Args:
        path (str | PathLike): The image.

    Returns:
        ndarray: Colours in CIELAB, (P, 3), float32.
    """
    with Image.open(path) as opened:
        image = np.asarray(opened.convert('RGB'))
    height, width = _SIZE
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    rows, columns = (
        slice(int(low * side), int(high * side))
        for (low, high), side in zip(_HEAD, _SIZE, strict=True)
    )
    part = small[rows, columns].astype(np.float32) / 255
    return cv2.cvtColor(part, cv2.COLOR_RGB2LAB).reshape(-1, 3)


def colour_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Measure how far the colours of one area are from another's.

    Each colour is compared with the nearest of the other area, and half of
    them may be of something else: so neither pose nor background counts much.

    Args:
        first (ndarray): Colours, (P, 3).
        second (ndarray): Colours, (Q, 3).

    Returns:
        float: Mean of the two medians, at least 0.
    """
    offsets = first[:, None] - second[None]  # (P, Q, 3)
    distances = np.sqrt((offsets**2).sum(-1))  # (P, Q)
    medians = [np.median(distances.min(axis)) for axis in (0, 1)]
    return float(np.mean(medians))
