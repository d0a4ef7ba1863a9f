"""Captions that do not fit their image, given to the image they fit best.

A caption that a filter drops may be a good one of another image. It moves to
the image that it fits best among all, if it is also the one that fits this
image best among the captions to be moved: mutual best, or nothing. Of each
caption only its nearest images are known, so that memory holds (Q, K) values
and one block of images, whatever the size of the dataset.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmtpr.evaluation.search import search
from mmtpr.structures.pairs import Pairs
from mmtpr.utils.numbers import is_number
from mmtpr.utils.progress import progress

from .result_files import ResultFile, write_arrays
from .scorer import RelevanceScorer
from .scoring import unique_places

#: Version of the file format.
REASSIGNMENT_VERSION = 1
#: The files of moved captions.
REASSIGNMENT_FILE = ResultFile(
    what='places of captions',
    version=REASSIGNMENT_VERSION,
    cure='Write them with tools/filtering/reassign_captions.py. See '
    'docs/user_guides/filtering.md.',
)


@dataclass
class Reassignment:
    """Which image each caption of a dataset goes with.

    Attributes:
        image (np.ndarray): Index of the pair whose image it is, (N, ), int64:
            the own index of a caption that stays, -1 of one that is dropped.
        meta (dict): ``version``, ``data`` (fingerprint, name, length),
            ``scorer`` and whatever tells how it was made, plain values.
    """

    image: np.ndarray
    meta: dict[str, Any]

    def __len__(self) -> int:
        return len(self.image)

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of ``kept``, ``moved`` and ``dropped`` captions."""
        own = self.image == np.arange(len(self))
        dropped = self.image < 0
        return dict(
            kept=int(own.sum()),
            moved=int((~own & ~dropped).sum()),
            dropped=int(dropped.sum()),
        )


def nearest_images(
    scorer: RelevanceScorer,
    pairs: Pairs,
    suspects: Sequence[int],
    num_neighbours: int = 16,
    block_size: int = 4096,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Find the images of a dataset that some of its captions fit best.

    Args:
        scorer (RelevanceScorer): The model.
        pairs (Pairs): The dataset, N pairs.
        suspects (Sequence[int]): Indices of the Q captions.
        num_neighbours (int): Images K to find for each. Defaults to 16.
        block_size (int): Images in memory at once. Defaults to 4096.

    Returns:
        tuple[np.ndarray, np.ndarray, int]: Scores, (Q, K) float32, best
        first; the first pair of each image, (Q, K) int64; and the number of
        images that could not be read, which no caption is given.
    """
    captions = scorer.embed_captions([pairs.captions[i] for i in suspects])
    first, _ = unique_places(pairs.paths)
    best = captions.new_empty(len(captions), 0, dtype=torch.float32)
    index = torch.empty(len(captions), 0, dtype=torch.long)
    unreadable = 0
    with progress(len(first), 'Comparing images') as done:
        for start in range(0, len(first), block_size):
            block = first[start : start + block_size]
            tokens, broken = scorer.embed_images(
                [pairs.image_entry(i) for i in block]
            )
            unreadable += len(broken)
            done(len(block))
            if len(broken) == len(block):
                continue
            readable = [i for i in range(len(block)) if i not in broken]
            tokens = tokens[readable]  # (B, T, D)
            score, place = search(captions, tokens, num_neighbours)
            of = torch.tensor(block)[readable][place.cpu()]  # (Q, K)
            best, index = _merge(best, index, score, of, num_neighbours)
    return best.cpu().numpy(), index.numpy(), unreadable


def mutual_best(scores: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Pair captions with images that are each other's best.

    Args:
        scores (np.ndarray): Scores of the K nearest images of each of Q
            captions, (Q, K), best first.
        images (np.ndarray): Those images, (Q, K), int64.

    Returns:
        np.ndarray: The image of each caption, (Q, ), -1 where another caption
        fits its best image better; of equal captions the first has it.

    Examples:
        >>> mutual_best(
        ...     np.array([[0.9, 0.8], [0.7, 0.6]]), np.array([[5, 3], [5, 3]])
        ... )
        array([ 5, -1])
    """
    number, neighbours = images.shape
    if not number or not neighbours:
        return np.full(number, -1, dtype=np.int64)
    caption = np.repeat(np.arange(number), neighbours)
    flat = images.ravel()
    order = np.lexsort((caption, -scores.ravel(), flat))
    _, begin = np.unique(flat[order], return_index=True)
    winners = np.full(int(flat.max()) + 1, -1, dtype=np.int64)
    winners[flat[order][begin]] = caption[order][begin]
    best = images[:, 0]
    return np.where(winners[best] == np.arange(number), best, -1)


def check_margins(min_score: float | None, min_lead: float | None) -> None:
    """Check what is asked of a caption that moves.

    Args:
        min_score (float, optional): See :func:`reassign`.
        min_lead (float, optional): Likewise.

    Raises:
        ValueError: If one is given and no finite number.
    """
    margins = (('least score', min_score), ('least lead', min_lead))
    for name, value in margins:
        if value is not None and not is_number(value):
            raise ValueError(
                f'The {name} of a caption that moves must be a finite number, '
                f'got {value!r}.'
            )


def reassign(
    keep: np.ndarray,
    suspects: np.ndarray,
    scores: np.ndarray,
    images: np.ndarray,
    paths: Sequence[str],
    min_score: float | None = None,
    min_lead: float | None = None,
) -> np.ndarray:
    """Decide where the captions of a dataset go.

    Args:
        keep (np.ndarray): Whether a pair stays as it is, (N, ), bool.
        suspects (np.ndarray): Indices of the Q other captions.
        scores (np.ndarray): See :func:`mutual_best`.
        images (np.ndarray): Likewise, as indices of pairs.
        paths (Sequence[str]): Image of each pair, N.
        min_score (float, optional): Least score of a caption with its new
            image. Defaults to None.
        min_lead (float, optional): How much that score must be above the one
            of the caption's second image, where it has one. Defaults to None.

    Returns:
        np.ndarray: As :attr:`Reassignment.image`. A caption whose best image
        is its own is dropped, as the filter said.

    Raises:
        ValueError: See :func:`check_margins`.
    """
    check_margins(min_score, min_lead)
    out = np.where(keep, np.arange(len(keep)), -1)
    target = mutual_best(scores, images)
    sure = np.ones(len(target), dtype=bool)
    if min_score is not None:
        sure &= scores[:, 0] >= min_score
    if min_lead is not None and scores.shape[1] > 1:
        sure &= scores[:, 0] - scores[:, 1] >= min_lead
    for row, (pair, image) in enumerate(zip(suspects, target, strict=True)):
        if image >= 0 and sure[row] and paths[image] != paths[pair]:
            out[pair] = image
    return out


def save_reassignment(path: str | os.PathLike, made: Reassignment) -> None:
    """Write a file of moved captions; it appears whole or not at all.

    Args:
        path (str | PathLike): The file, ending in ``.npz``.
        made (Reassignment): What to write.
    """
    meta = json.dumps(made.meta, sort_keys=True)
    image = made.image.astype(np.int64)
    write_arrays(path, image=image, meta=np.array(meta))


def load_reassignment(path: str | os.PathLike) -> Reassignment:
    """Read a file of moved captions.

    Args:
        path (str | PathLike): The file.

    Returns:
        Reassignment: Its content.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds something else, or is of a later version.
    """
    meta, arrays = REASSIGNMENT_FILE.describe(path, ('image',))
    image, length = arrays['image'], meta['data']['length']
    fits = image.shape == (length,) and image.dtype.kind == 'i'
    if not fits or (length and not -1 <= image.min() <= image.max() < length):
        why = f'it has not an index for each of {length} captions'
        raise REASSIGNMENT_FILE.damaged(path, why)
    return Reassignment(image, meta)


def _merge(
    best: Tensor, index: Tensor, score: Tensor, of: Tensor, num: int
) -> tuple[Tensor, Tensor]:
    """Keep the best of two lists; of equal ones what came first."""
    value = torch.cat([best, score], dim=1)
    place = torch.cat([index, of], dim=1)
    value, order = value.sort(dim=1, descending=True, stable=True)
    return value[:, :num], place.gather(1, order.cpu())[:, :num]
