"""All items of a store that are not deleted, copied into one segment."""

import numpy as np

from mmtpr.utils.progress import progress

from .generation import Generation
from .segment_writer import SegmentWriter

#: Numbers that are read at a time.
_NUMBERS = 1 << 22


def copy_live(generation: Generation, number: int) -> SegmentWriter:
    """Copy the items that are not deleted, a few at a time.

    Args:
        generation (Generation): The store.
        number (int): Number of the new segment.

    Returns:
        SegmentWriter: The new segment, not finished.

    Raises:
        LaunchError: If the disk is full.
    """
    manifest = generation.manifest
    shape = (manifest.vectors, manifest.dim)
    rows = generation.all_rows()
    step = max(1, _NUMBERS // (shape[0] * shape[1]))
    writer = SegmentWriter(generation.folder, number, *shape)
    try:
        with progress(len(rows), 'Compacting the items of the gallery') as on:
            for start in range(0, len(rows), step):
                some = rows[start : start + step]
                _copy(generation, some, writer)
                on(len(some))
    except BaseException:
        writer.close()
        raise
    return writer


def _copy(
    generation: Generation, rows: np.ndarray, writer: SegmentWriter
) -> None:
    columns = generation.manifest.columns
    writer.add(
        generation.column('id', rows),
        generation.column('path', rows),
        generation.read(rows).numpy(),
        {name: generation.array(name, rows) for name in columns},
    )
