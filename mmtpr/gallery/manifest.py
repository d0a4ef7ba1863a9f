"""The file that says which files a store consists of."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mmtpr.utils import atomic_write

NAME = 'manifest.json'
KIND = 'mmtpr gallery store'
#: Format that is written; older ones are read, newer ones are not.
FORMAT = 1
_CHUNK = 1 << 20


@dataclass(frozen=True)
class FileFacts:
    """A file of a store as it was written.

    Attributes:
        name (str): Its name in the folder.
        size (int): Bytes.
        checksum (str): BLAKE2b of its content, 32 hexadecimal digits.
    """

    name: str
    size: int
    checksum: str

    def damage(self, folder: Path, whole: bool) -> str:
        """Say how the file differs from what was written.

        Args:
            folder (Path): The store.
            whole (bool): Whether its content is read, not only its size.

        Returns:
            str: The difference, '' if there is none.
        """
        path = folder / self.name
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            return f'"{self.name}" is missing'
        if size != self.size:
            return f'"{self.name}" has {size} bytes instead of {self.size}'
        if whole and file_checksum(path) != self.checksum:
            return f'"{self.name}" has another content than was written'
        return ''


@dataclass(frozen=True)
class SegmentFacts:
    """Items that were written together.

    Attributes:
        items (int): How many, deleted ones included.
        flat (bool): Whether the pooled index compares all.
        pooled (FileFacts): The pooled vectors.
        table (FileFacts): Ids, paths and columns, in Parquet.
        tokens (FileFacts | None): All vectors; None where the pooled ones are
            all there are.
    """

    items: int
    flat: bool
    pooled: FileFacts
    table: FileFacts
    tokens: FileFacts | None = None

    @property
    def files(self) -> list[FileFacts]:
        """List the files.

        Returns:
            list[FileFacts]: The files.
        """
        return [f for f in (self.pooled, self.table, self.tokens) if f]


@dataclass(frozen=True)
class Manifest:
    """One generation of a store.

    Attributes:
        identity (dict[str, str]): Of the model.
        vectors (int): Vectors T of an item; 0 as long as there is none.
        dim (int): Numbers D of a vector; 0 likewise.
        generation (int): Counts the writes.
        next_segment (int): Number of the next segment.
        columns (dict[str, str]): Kinds of the columns.
        segments (tuple[SegmentFacts, ...]): In the order of their items.
        deleted (FileFacts | None): Rows of deleted items, if any.
        notes (dict[str, Any]): Notes of the user of the store.
    """

    identity: dict[str, str]
    vectors: int = 0
    dim: int = 0
    generation: int = 0
    next_segment: int = 0
    columns: dict[str, str] = field(default_factory=dict)
    segments: tuple[SegmentFacts, ...] = ()
    deleted: FileFacts | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def files(self) -> list[FileFacts]:
        """List the files of the generation.

        Returns:
            list[FileFacts]: The files, without the manifest.
        """
        found = [file for part in self.segments for file in part.files]
        return found + ([self.deleted] if self.deleted else [])

    def after(self, **changes: Any) -> 'Manifest':
        """Make the next generation.

        Args:
            **changes: Fields that differ.

        Returns:
            Manifest: The next one.
        """
        return replace(self, generation=self.generation + 1, **changes)

    def write(self, folder: Path) -> None:
        """Make this generation the current one, at once.

        Args:
            folder (Path): The store.

        Raises:
            LaunchError: If the disk is full.
        """
        body = asdict(self)
        content = dict(kind=KIND, format=FORMAT, **body)
        content['checksum'] = _checksum(body)
        with atomic_write(folder / NAME, 'w') as file:
            json.dump(content, file, indent=1)
        sync_folder(folder)


def read_manifest(folder: Path) -> Manifest:
    """Read which generation is the current one.

    Args:
        folder (Path): The store.

    Returns:
        Manifest: The generation.

    Raises:
        FileNotFoundError: If there is no store.
        ValueError: If the file is damaged or of a newer mmtpr.
    """
    path = folder / NAME
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except FileNotFoundError:
        raise FileNotFoundError(
            f'"{folder}" holds no gallery store: it has no {NAME}.'
        ) from None
    except ValueError:
        content = None
    if not isinstance(content, dict) or content.pop('kind', None) != KIND:
        raise ValueError(
            f'"{path}" is damaged, or of something else than a gallery store.'
        )
    number = content.pop('format', None)
    if isinstance(number, int) and number > FORMAT:
        raise ValueError(
            f'The store "{folder}" was written by a newer mmtpr (format '
            f'{number}; this one reads up to {FORMAT}). Update mmtpr to open '
            'it.'
        )
    checksum = content.pop('checksum', None)
    if checksum != _checksum(content):
        raise ValueError(
            f'"{path}" is damaged: its content is not what was written. '
            'Restore it from a copy, or make the store anew.'
        )
    segments = tuple(
        SegmentFacts(
            items=part['items'],
            flat=part['flat'],
            **{k: _facts(part[k]) for k in ('pooled', 'table', 'tokens')},
        )
        for part in content.pop('segments')
    )
    deleted = _facts(content.pop('deleted'))
    return Manifest(**content, segments=segments, deleted=deleted)


def _facts(values: dict | None) -> Any:
    return FileFacts(**values) if values else None


def _checksum(body: dict) -> str:
    text = json.dumps(body, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def file_facts(path: Path) -> FileFacts:
    """Describe a file that was just written.

    Args:
        path (Path): The file.

    Returns:
        FileFacts: Name, size and checksum.
    """
    return FileFacts(path.name, path.stat().st_size, file_checksum(path))


def file_checksum(path: Path) -> str:
    """Read a file for its checksum.

    Args:
        path (Path): The file.

    Returns:
        str: 32 hexadecimal digits.
    """
    digest = hashlib.blake2b(digest_size=16)
    with open(path, 'rb') as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """Have the names of a folder written to the disk, where that is known.

    Args:
        folder (Path): The folder.
    """
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(handle)
    except OSError:  # nor do all file systems
        pass
    finally:
        os.close(handle)
