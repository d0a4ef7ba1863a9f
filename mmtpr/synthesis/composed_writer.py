"""Writing synthetic triplets, validation and test sets to disk."""

import itertools
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .composed import itcpr_layout, syncpr_layout
from .folders import write_json, write_once
from .identities import sample_identities
from .world import ProceduralWorld
from .writer import draw_all

_FORMAT = 2  # raise when the same settings give other files
_STREAM = 24  # makes other people than those of `write_toy_data`


@dataclass(frozen=True)
class ComposedSettings:
    """Settings of a composed toy dataset.

    Args:
        size (tuple[int, int]): Height and width of images in pixels.
        seed (int): Seed of everything.
        train (int): People of the triplets.
        val (int): People of the validation set.
        test (int): People of the test set.
        views (int): Images of each outfit of the triplets, and of each
            person before the change elsewhere.
        changes (int): Queries of each person of val and test.
    """

    size: tuple[int, int] = (128, 64)
    seed: int = 0
    train: int = 3000
    val: int = 80
    test: int = 220
    views: int = 2
    changes: int = 2


def write_composed_toy_data(
    out: str | os.PathLike, settings: ComposedSettings, processes: int = 1
) -> bool:
    """Write triplets, a validation and a test set, whole or not at all.

    .. code-block:: none

        out/train/SynCPR.json, imgs/                SynCPR layout
        out/val/query.json, gallery.json, imgs/     ITCPR layout
        out/test/query.json, gallery.json, imgs/    ITCPR layout
        out/settings.json

    The people of the three are different ones. Words of the sentences are in
    the vocabulary that :func:`write_toy_data` writes.

    Args:
        out (str | PathLike): Folder to be made. One with the same settings is
            left alone; one with other settings is an error.
        settings (ComposedSettings): What to write.
        processes (int): Number of drawing processes; the files do not depend
            on it. Defaults to 1.

    Returns:
        bool: Whether anything was written.

    Raises:
        FileExistsError: If ``out`` exists and holds something else.
    """
    return write_once(
        out,
        settings,
        _FORMAT,
        lambda folder: _write_splits(folder, settings, processes),
    )


def _write_splits(
    folder: Path, settings: ComposedSettings, processes: int
) -> None:
    seed = np.random.SeedSequence([settings.seed, _STREAM])
    world = ProceduralWorld(settings.size, int(seed.generate_state(1)[0]))
    sizes = dict(train=settings.train, val=settings.val, test=settings.test)
    people = sample_identities(sum(sizes.values()), world.seed)
    numbers = itertools.count(len(people))
    start = 0
    for split, size in sizes.items():
        chosen = people[start : start + size]
        start += size
        if split == 'train':
            records, shots = syncpr_layout(world, chosen, settings.views)
            write_json(folder / split / 'SynCPR.json', records)
        else:
            queries, gallery, shots = itcpr_layout(
                world, chosen, numbers, settings.changes, settings.views
            )
            write_json(folder / split / 'query.json', queries)
            write_json(folder / split / 'gallery.json', gallery)
        draw_all(world, shots, folder / split, processes)
