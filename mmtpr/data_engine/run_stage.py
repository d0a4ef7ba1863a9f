"""Running a stage: in one process or several, once, whatever happens."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.dist import get_dist_info
from mmengine.logging import print_log

from mmtpr.utils.atomic import remove_leftovers_of
from mmtpr.utils.main_first import on_main_process
from mmtpr.utils.progress import progress
from mmtpr.utils.run_lock import lock_output

from .block_files import DROPPED, BlockSummary
from .stage import Stage
from .stage_folder import StageFolder


def run_stage(stage: Stage, folder: StageFolder) -> BlockSummary:
    """Run a stage to its end; goes on with one that was killed.

    Every process of the run calls this. Blocks are shared by number, so that
    the files are the same for any number of processes.

    Args:
        stage (Stage): The stage.
        folder (StageFolder): Where its rows go.

    Returns:
        BlockSummary: What came of all blocks.

    Raises:
        LaunchError: If another run works in the folder, a stage before is
            not done, settings differ from those the folder was begun with,
            or the disk is full.
    """
    with begun_stage(stage, folder):
        _run_blocks(stage, folder)
        return on_main_process(lambda: finish_stage(stage, folder))


@contextmanager
def begun_stage(stage: Stage, folder: StageFolder) -> Iterator[None]:
    """Begin a stage or go on with it, and keep other runs away.

    Args:
        stage (Stage): The stage.
        folder (StageFolder): Where its rows go.

    Yields:
        None: Blocks can be written.

    Raises:
        LaunchError: See :func:`run_stage`.
    """
    for source in stage.sources:
        source.check_done()
    what = f'The stage "{stage.name}" in "{folder.folder}"'
    with lock_output(folder.folder / '.lock', what):
        on_main_process(lambda: _open(stage, folder))
        yield


def _open(stage: Stage, folder: StageFolder) -> None:
    clear_leftovers(folder.files)
    folder.open(stage.name, stage.settings(), stage.sources, stage.num_blocks)


def clear_leftovers(paths: Iterable[Path]) -> None:
    """Remove what a killed run left half-written, with a line in the log.

    Args:
        paths (Iterable[Path]): Files that this run is about to write; nobody
            else is.
    """
    stale = remove_leftovers_of(paths)
    if stale:
        print_log(
            f'Removed {len(stale):,} half-written files that a killed run '
            f'left, e.g. "{stale[0]}".',
            logger='current',
        )


def _run_blocks(stage: Stage, folder: StageFolder) -> None:
    rank, world = get_dist_info()
    mine = range(rank, stage.num_blocks, world)
    with progress(len(mine), f'Blocks of {stage.unit}') as advance:
        for block in mine:
            if folder.blocks.summary(block) is None:
                run_block(stage, folder, block)
            advance(1)


def run_block(stage: Stage, folder: StageFolder, block: int) -> None:
    """Run a block to its end; goes on with one that was killed.

    Args:
        stage (Stage): The stage.
        folder (StageFolder): Where its rows go.
        block (int): Index of the block.
    """
    items = stage.items(block)
    keys = [key for key, _ in items]
    clear_leftovers([folder.blocks.path(block), *stage.files(items)])
    journal = folder.blocks.journal(block)
    parts = (
        items[start : start + stage.part]
        for start in range(0, len(items), stage.part)
    )
    todo = [
        item
        for part in parts
        if any(key not in journal.rows for key, _ in part)
        for item in part
    ]
    try:
        if todo:
            for row in stage.process(todo):
                journal.add(row)
    finally:
        journal.close()
    absent = [key for key in keys if key not in journal.rows]
    if absent:
        raise RuntimeError(
            f'The stage "{stage.name}" made no row for "{absent[0]}".'
        )
    folder.blocks.write(block, [journal.rows[key] for key in keys])


def finish_stage(stage: Stage, folder: StageFolder) -> BlockSummary:
    """Count what all blocks hold, and do what needs them all.

    Args:
        stage (Stage): The stage.
        folder (StageFolder): With all blocks.

    Returns:
        BlockSummary: What came of them.

    Raises:
        RuntimeError: If a block is missing.
    """
    counts = BlockSummary()
    for block in range(stage.num_blocks):
        one = folder.blocks.summary(block)
        if one is None:
            raise RuntimeError(
                f'The block "{folder.blocks.path(block)}" is missing. All '
                'processes must see the same folder; run the command again.'
            )
        counts.join(one)
    summary = folder.summary
    if summary is None:
        folder.write_summary(counts, stage.finish(folder))
    else:
        counts.dropped = Counter(summary['dropped'])
    print_log(
        f'{stage.name}: {counts.kept:,} of {counts.rows:,} {stage.unit} in '
        f'"{folder.folder}".',
        logger='current',
    )
    for reason, number in counts.dropped.most_common():
        print_log(
            f'{stage.name}: {number:,} {DROPPED}: {reason}.', logger='current'
        )
    return counts
