"""The folder of a stage in a run, and what it says of itself."""

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any

from mmtpr.utils import atomic_write, read_json
from mmtpr.utils.errors import LaunchError
from mmtpr.utils.plain_values import plain_value
from mmtpr.utils.warn import warn

from .block_files import DROPPED, BlockFiles, BlockSummary, Row

_FACTS, _SUMMARY, _EXCLUDED = 'stage.json', 'summary.json', 'excluded.json'
_FORMAT = 1


class StageFolder:
    """Blocks of a stage with the settings they were made by.

    Args:
        folder (str | PathLike): The folder.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.blocks = BlockFiles(self.folder)

    @property
    def files(self) -> list[Path]:
        """What is written here beside the blocks.

        Returns:
            list[Path]: The files, there or not.
        """
        return [self.folder / name for name in (_FACTS, _SUMMARY, _EXCLUDED)]

    @property
    def facts(self) -> dict[str, Any]:
        """Settings, id and number of blocks.

        Returns:
            dict[str, Any]: What :meth:`open` wrote.

        Raises:
            LaunchError: If there is no such stage yet.
            ValueError: If the file is damaged or of a newer mmtpr.
        """
        path = self.folder / _FACTS
        if not path.is_file():
            raise LaunchError(
                f'There is no finished stage in "{self.folder}": run the '
                'stage before first.'
            )
        facts = read_json(path, 'description of a stage')
        if not isinstance(facts, dict) or 'format' not in facts:
            raise ValueError(f'"{path}" describes no stage.')
        if facts['format'] > _FORMAT:
            raise ValueError(
                f'"{path}" was written by a newer mmtpr. Update mmtpr.'
            )
        return facts

    def open(
        self,
        stage: str,
        settings: Mapping[str, Any],
        sources: Sequence['StageFolder'],
        num_blocks: int,
    ) -> None:
        """Begin the stage, or go on with it.

        What a stage says of all its blocks counts only while all of them are
        there: it is forgotten where one is to be made anew.

        Args:
            stage (str): Its name.
            settings (Mapping[str, Any]): All that decides its rows.
            sources (Sequence[StageFolder]): Stages that it reads.
            num_blocks (int): Number of its blocks.

        Raises:
            LaunchError: If the folder holds something else, or was begun with
                other settings or other sources, naming what differs.
        """
        wanted = dict(
            format=_FORMAT,
            stage=stage,
            settings=plain_value(dict(settings)),
            sources=[one.facts['id'] for one in sources],
            num_blocks=num_blocks,
        )
        path = self.folder / _FACTS
        if path.is_file():
            self._check(self.facts, wanted)
            self._forget_stale_end(num_blocks)
            return
        others = [p.name for p in self.folder.glob('[!.]*')]
        if others:
            raise LaunchError(
                f'"{self.folder}" holds other files, e.g. "{others[0]}", and '
                'no stage. Name another run folder.'
            )
        with atomic_write(path, 'w') as file:
            json.dump(dict(wanted, id=uuid.uuid4().hex), file, indent=2)

    def _check(self, found: dict, wanted: dict) -> None:
        if found['stage'] != wanted['stage']:
            raise LaunchError(
                f'"{self.folder}" holds the stage "{found["stage"]}".'
            )
        if found['sources'] != wanted['sources']:
            raise LaunchError(
                f'The rows in "{self.folder}" were made from those of another '
                'run. Name another run folder, or remove this one.'
            )
        differ = _differences(found['settings'], wanted['settings'])
        if not differ and found['num_blocks'] != wanted['num_blocks']:
            differ = [
                f'blocks: {found["num_blocks"]} there, '
                f'{wanted["num_blocks"]} now'
            ]
        if differ:
            raise LaunchError(
                f'"{self.folder}" was begun with other settings '
                f'({"; ".join(differ)}). Give the same again, or name another '
                'folder.'
            )

    def _forget_stale_end(self, num_blocks: int) -> None:
        summary = self.folder / _SUMMARY
        if summary.is_file():
            absent = [
                block
                for block in range(num_blocks)
                if self.blocks.summary(block) is None
            ]
            if not absent:
                return
            warn(
                f'Of the stage in "{self.folder}", which was done, '
                f'{len(absent):,} of {num_blocks:,} blocks are made anew, '
                f'e.g. "{self.blocks.path(absent[0]).name}", and its rows are '
                'counted again.'
            )
            summary.unlink()  # first: without it the other file says nothing
        (self.folder / _EXCLUDED).unlink(missing_ok=True)
        self.__dict__.pop('excluded', None)

    @property
    def num_blocks(self) -> int:
        """Number of blocks.

        Returns:
            int: How many there are when the stage is done.
        """
        return int(self.facts['num_blocks'])

    @property
    def summary(self) -> dict[str, Any] | None:
        """What the whole stage came to.

        Returns:
            dict[str, Any] | None: ``rows``, ``kept``, ``dropped`` by reason
            and what ``finish`` told; None as long as it is not done.
        """
        path = self.folder / _SUMMARY
        return read_json(path, 'summary') if path.is_file() else None

    @cached_property
    def excluded(self) -> set[str]:
        """Keys of rows that came to nothing only beside others.

        Returns:
            set[str]: The keys; empty before the stage is done.
        """
        path = self.folder / _EXCLUDED
        # Without a summary it is of a run that was killed before its end.
        if not path.is_file() or self.summary is None:
            return set()
        reasons = read_json(path, 'excluded rows')
        return {key for keys in reasons.values() for key in keys}

    def write_summary(
        self, counts: BlockSummary, more: Mapping[str, Any]
    ) -> None:
        """Mark the stage as done.

        Args:
            counts (BlockSummary): Of all blocks; what is excluded joins it.
            more (Mapping[str, Any]): Of ``Stage.finish``; ``excluded`` holds
                keys of rows by the reason why they are dropped after all.
        """
        more = dict(more)
        excluded = more.pop('excluded', {})
        if excluded:
            with atomic_write(self.folder / _EXCLUDED, 'w') as file:
                json.dump(excluded, file, ensure_ascii=False)
        for reason, keys in excluded.items():
            counts.dropped[reason] += len(keys)
        dropped = dict(sorted(counts.dropped.items()))
        content = dict(
            rows=counts.rows, kept=counts.kept, dropped=dropped, **more
        )
        with atomic_write(self.folder / _SUMMARY, 'w') as file:
            json.dump(content, file, indent=2)
        self.__dict__.pop('excluded', None)

    def check_done(self) -> None:
        """Refuse a stage that is not done.

        Raises:
            LaunchError: If it is not.
        """
        facts = self.facts
        if self.summary is None:
            raise LaunchError(
                f'The stage "{facts["stage"]}" in "{self.folder}" is not '
                'done: run it to its end first.'
            )

    def read(self, block: int, dropped: bool = False) -> Iterator[Row]:
        """Read the rows of a block.

        Args:
            block (int): Its index.
            dropped (bool): Also those that came to nothing. Defaults to
                False.

        Yields:
            dict: A row.
        """
        for row in self.blocks.read(block):
            gone = DROPPED in row or row.get('key') in self.excluded
            if dropped or not gone:
                yield row

    def read_all(self, dropped: bool = False) -> Iterator[Row]:
        """Read the rows of all blocks.

        Args:
            dropped (bool): Also those that came to nothing. Defaults to
                False.

        Yields:
            dict: A row.
        """
        for block in range(self.num_blocks):
            yield from self.read(block, dropped)


def _differences(found: Any, wanted: Any, name: str = '') -> list[str]:
    """Settings that differ, with both values."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        keys = sorted({*found, *wanted})
        parts = (
            _differences(
                found.get(key, 'absent'),
                wanted.get(key, 'absent'),
                f'{name}.{key}' if name else key,
            )
            for key in keys
        )
        return [told for part in parts for told in part]
    if found == wanted:
        return []
    if isinstance(found, list) and isinstance(wanted, list):
        pairs = zip_longest(found, wanted, fillvalue='absent')
        for i, (one, other) in enumerate(pairs):
            if one != other:  # the first says enough
                return _differences(one, other, f'{name}[{i}]')
    return [f'{name}: {_short(found)} there, {_short(wanted)} now']


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f'{text[:57]}...'
