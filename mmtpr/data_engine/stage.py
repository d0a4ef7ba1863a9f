"""A stage of the data engine: rows of the stage before become its own."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from .block_files import Row
from .stage_folder import StageFolder


class Stage(ABC):
    """What one stage does with its work.

    Work is cut into blocks; a block is a stretch of items, each with a key
    that no other item of the run has. A row depends on its item, the settings
    and the seed alone: not on the number of processes, the order, or what was
    done before a kill.

    Attributes:
        name (str): Of the stage, and of its folder in the run.
        unit (str): What its rows are, for the progress bar.
        part (int): Items of a block that are done together: where a kill cut
            such a part off, all of it is done again. Defaults to 1.
    """

    name: ClassVar[str]
    unit: ClassVar[str] = 'rows'
    part: int = 1

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Tell all that decides the rows, as plain values.

        Returns:
            dict[str, Any]: By name. How the work is done (processes, batch
            size, time-outs) is none of it.
        """

    @property
    @abstractmethod
    def sources(self) -> Sequence[StageFolder]:
        """Stages whose rows this one reads.

        Returns:
            Sequence[StageFolder]: Their folders, opened.
        """

    @property
    @abstractmethod
    def num_blocks(self) -> int:
        """Number of blocks.

        Returns:
            int: How many.
        """

    @abstractmethod
    def items(self, block: int) -> list[tuple[str, Any]]:
        """List the work of a block.

        Args:
            block (int): Its index.

        Returns:
            list[tuple[str, Any]]: Key and whatever :meth:`process` needs.
        """

    @abstractmethod
    def process(self, items: Sequence[tuple[str, Any]]) -> Iterator[Row]:
        """Do the work.

        Args:
            items (Sequence[tuple[str, Any]]): Some items of a block.

        Yields:
            dict: A row for each item, as soon as it is done, in any order,
            with its ``key``; with ``dropped``, a reason of few words that
            many rows share, where nothing came of it.
        """

    def files(self, items: Sequence[tuple[str, Any]]) -> Iterable[Path]:
        """Name what :meth:`process` writes beside its rows.

        Args:
            items (Sequence[tuple[str, Any]]): The items of a block.

        Returns:
            Iterable[Path]: Files, also those that will not come to be. What a
            killed run left half-written of them is removed.
        """
        return ()

    def finish(self, folder: StageFolder) -> dict[str, Any]:
        """Do what needs all blocks, once, in one process.

        Args:
            folder (StageFolder): The stage's folder, with all blocks.

        Returns:
            dict[str, Any]: Goes into the summary of the stage. ``excluded``
            holds keys of rows, by the reason why they are dropped after all.
        """
        return {}
