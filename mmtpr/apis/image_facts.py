"""What tells whether an image of a folder has changed."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmtpr.gallery.manifest import file_checksum

#: Columns that hold the facts; they are the store's, not the user's.
SIZE, TIME, HASH = FACTS = ('file_bytes', 'file_time', 'file_hash')


@dataclass
class ImageFacts:
    """A file as it was when it was embedded.

    Attributes:
        size (int): Bytes; 0 where there is no file.
        time (int): Time of change in nanoseconds; 0 likewise.
        content (str | None): Hash of its content; None if it was not read.
    """

    size: int
    time: int
    content: str | None = None

    @classmethod
    def of(cls, path: str, by_content: bool = False) -> 'ImageFacts':
        """Look at a file.

        Args:
            path (str): The file; it need not exist.
            by_content (bool): Whether it is read. Defaults to False.

        Returns:
            ImageFacts: Its facts.
        """
        try:
            facts = os.stat(path)
        except OSError:
            return cls(0, 0)
        content = _content(path) if by_content else None
        return cls(facts.st_size, facts.st_mtime_ns, content)

    def same(self, former: 'ImageFacts') -> bool:
        """Tell whether an image is as it was.

        Args:
            former (ImageFacts): What it was.

        Returns:
            bool: By content where both know it, else by size and time.
        """
        if self.content is not None and former.content is not None:
            return self.content == former.content
        return (self.size, self.time) == (former.size, former.time)

    def columns(self) -> dict[str, Any]:
        """Give the values of the columns.

        Returns:
            dict[str, Any]: Values by name.
        """
        return {SIZE: self.size, TIME: self.time, HASH: self.content}


def _content(path: str) -> str | None:
    try:
        return file_checksum(Path(path))
    except OSError:  # who embeds it says why it cannot be read
        return None
