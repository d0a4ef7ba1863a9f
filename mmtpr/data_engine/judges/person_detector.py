"""Whether an image shows a whole person, by a detector of torchvision."""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from mmtpr.checkpoints.files import load_weights
from mmtpr.utils.errors import LaunchError
from mmtpr.utils.fingerprint import path_fingerprint

from ..devices import chosen_device

_PERSON = 1  # label of COCO, which all detectors of torchvision know
_TALL = 0.5


class PersonDetector:
    """Any detector of torchvision.

    Args:
        name (str): Such as ``'fasterrcnn_mobilenet_v3_large_320_fpn'``.
        weights (str, optional): A file of weights, or a name such as
            ``'DEFAULT'``, which torchvision downloads. Defaults to
            ``'DEFAULT'``.
        device (str, optional): Defaults to None: ``'cuda'`` where there is
            one.
    """

    def __init__(
        self,
        name: str = 'fasterrcnn_mobilenet_v3_large_320_fpn',
        weights: str = 'DEFAULT',
        device: str | None = None,
    ) -> None:
        self.name, self.weights = name, weights
        self.device = chosen_device(device)

    def settings(self) -> dict[str, Any]:
        """Tell what decides the boxes.

        Returns:
            dict[str, Any]: Plain values.
        """
        return dict(
            name=self.name,
            weights=self.weights,
            weights_content=path_fingerprint(self.weights),
        )

    @cached_property
    def _model(self) -> Any:
        from torchvision.models import get_model

        is_file = Path(self.weights).is_file()
        try:
            model = get_model(
                self.name,
                weights=None if is_file else self.weights,
                weights_backbone=None,
            )
            if is_file:
                model.load_state_dict(load_weights(self.weights))
        except (ValueError, KeyError, TypeError, OSError, RuntimeError) as e:
            raise LaunchError(
                f'The detector "{self.name}" of torchvision with the weights '
                f'"{self.weights}" cannot be loaded: '
                f'{str(e).strip().splitlines()[0]}'
            ) from e
        return model.eval().to(self.device)

    @torch.inference_mode()
    def look(self, path: Any) -> dict[str, float]:
        """Look for a person.

        Args:
            path (str | PathLike): The image.

        Returns:
            dict[str, float]: ``person``, score of the best box of at least
            half the height, and ``margin``, the smaller room above or below
            it as a share of the height; both 0 where there is none.
        """
        with Image.open(path) as opened:
            image = np.array(opened.convert('RGB'))
        pixels = torch.from_numpy(image).permute(2, 0, 1) / 255  # (3, H, W)
        found = self._model([pixels.to(self.device)])[0]
        return best_person(
            found['boxes'].cpu().numpy(),
            found['labels'].cpu().numpy(),
            found['scores'].cpu().numpy(),
            image.shape[0],
        )


def best_person(
    boxes: np.ndarray, labels: np.ndarray, scores: np.ndarray, height: int
) -> dict[str, float]:
    """Choose the best box of a person who fills half of the height.

    Args:
        boxes (ndarray): Left, top, right, bottom in pixels, (N, 4).
        labels (ndarray): Classes of COCO, (N, ).
        scores (ndarray): From 0 to 1, (N, ).
        height (int): Of the image.

    Returns:
        dict[str, float]: ``person`` and ``margin``.
    """
    tall = boxes[:, 3] - boxes[:, 1] >= _TALL * height  # (N, )
    good = np.flatnonzero(tall & (labels == _PERSON))
    if not len(good):
        return dict(person=0.0, margin=0.0)
    best = good[scores[good].argmax()]
    room = min(float(boxes[best, 1]), height - float(boxes[best, 3]))
    return dict(person=float(scores[best]), margin=max(0.0, room / height))
