"""The file of all triplets, and the file of their scores beside it."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mmtpr.filtering.triplet_scores import save_triplet_scores
from mmtpr.structures.pairs import triplet_fingerprint

from .score_table import ScoreTable
from .triplet_files import ALL, TextSpool, TripletFile, triplet_file

#: Name of the file of scores.
SCORES = 'triplet_scores.npz'
#: What tells a triplet from others.
_TOLD = ('reference_image_path', 'target_image_path', 'edit_caption')


class AllTriplets:
    """All triplets of train, and the texts of their fingerprint.

    Args:
        file (TripletFile): Where they go.
        texts (Sequence[TextSpool]): Paths and sentences wait here.
    """

    def __init__(self, file: TripletFile, texts: Sequence[TextSpool]) -> None:
        self._file, self._texts = file, texts

    @property
    def length(self) -> int:
        """Triplets so far.

        Returns:
            int: How many.
        """
        return self._file.length

    def add(self, triplet: dict[str, Any]) -> None:
        """Write a triplet.

        Args:
            triplet (dict): The triplet.
        """
        self._file.add(triplet)
        for spool, key in zip(self._texts, _TOLD, strict=True):
            spool.add(triplet[key])


@contextmanager
def all_triplets(
    out: Path, table: ScoreTable, val: set[int]
) -> Iterator[AllTriplets]:
    """Write all triplets of train with their scores.

    They are for a rule of another day; see
    :class:`mmtpr.datasets.TripletFilteredDataset`.

    Args:
        out (Path): Where to.
        table (ScoreTable): Scores of all pairs.
        val (set[int]): Records that are no train.

    Yields:
        AllTriplets: To add the triplets to, in the order of the table.
    """
    with ExitStack() as stack:
        file = stack.enter_context(triplet_file(out / ALL))
        texts = [stack.enter_context(closing(TextSpool(out))) for _ in _TOLD]
        yield AllTriplets(file, texts)
        fingerprint = triplet_fingerprint(*texts)
    shown = ~np.isin(table.keys[:, 0], list(val))
    save_triplet_scores(
        out / SCORES,
        # Both directions of a pair have its scores.
        {k: v[shown].repeat(2) for k, v in table.columns.items()},
        fingerprint,
        dict(fields=sorted(table.columns)),
    )
