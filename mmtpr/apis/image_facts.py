"""What tells whether an image of a folder has changed."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmtpr.gallery.manifest import file_checksum
from mmtpr.utils.progress import progress

from .gallery_files import list_images

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


def look_at_images(
    root: Path, by_content: bool = False
) -> dict[str, ImageFacts]:
    """Look at all images of a folder.

    Args:
        root (Path): The folder.
        by_content (bool): Whether they are read. Defaults to False.

    Returns:
        dict[str, ImageFacts]: Facts by path in the folder, with ``/``.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no images.
    """
    paths = list_images(root)
    facts = {}
    what = 'Reading the images of the folder'
    with progress(len(paths) if by_content else 0, what) as advance:
        for path in paths:
            name = os.path.relpath(path, root).replace(os.sep, '/')
            facts[name] = ImageFacts.of(path, by_content)
            if by_content:
                advance(1)
    return facts


def known_facts(
    ids: Sequence[str], columns: Mapping[str, list]
) -> dict[str, ImageFacts]:
    """Find the facts of the items that came by an update.

    Args:
        ids (Sequence[str]): All N items of a store.
        columns (Mapping[str, list]): Their N values by name.

    Returns:
        dict[str, ImageFacts]: Facts by id.
    """
    if SIZE not in columns:
        return {}
    contents = columns.get(HASH, [None] * len(ids))
    rows = zip(ids, columns[SIZE], columns[TIME], contents, strict=True)
    return {
        name: ImageFacts(size, time, content)
        for name, size, time, content in rows
        if size is not None
    }


def broken_note(facts: ImageFacts, reason: str) -> list:
    """Note an image that cannot be read, for json.

    Args:
        facts (ImageFacts): What it is.
        reason (str): Why it cannot be read.

    Returns:
        list: Size, time, reason and hash.
    """
    return [facts.size, facts.time, reason, facts.content]


def broken_facts(note: Sequence) -> ImageFacts:
    """Read what :func:`broken_note` noted.

    Args:
        note (Sequence): The note; that of former versions has no hash.

    Returns:
        ImageFacts: What the image was.
    """
    return ImageFacts(*note[:2], *note[3:])
