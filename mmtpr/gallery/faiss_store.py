"""A store in a folder, searched by faiss."""

import copy
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from mmtpr.utils import atomic_write
from mmtpr.utils.run_lock import hold_lock
from mmtpr.utils.warn import warn

from .columns import arrow, make_columns
from .compaction import copy_live
from .folder_reading import FolderReading
from .generation import Generation, newest_generation, rows_of
from .identity import ModelIdentity
from .leftover_files import remove_leftover_files
from .manifest import (
    NAME,
    Manifest,
    SegmentFacts,
    file_facts,
    read_manifest,
)
from .new_items import check_items
from .pooled_index import FLAT_ITEMS, faiss
from .segment_writer import SegmentWriter

LOCK = '.lock'


class FaissStore(FolderReading):
    """Items in a folder of files: one writer, any number of readers.

    What is written is visible after a flush, at once: a process that is
    killed leaves the state before or after it. Readers see the state in which
    they opened the store until :meth:`refresh`. A writer that searches or
    fetches flushes before. Deleted items keep their room until
    :meth:`compact`, which a flush does by itself when there are many parts.

    Args:
        folder (str | PathLike): The store.
        identity (ModelIdentity, optional): Of the model that vectors are of;
            a store of another is refused. Defaults to None, whichever; a new
            store needs one.
        write (bool): Whether to write; makes the store if there is none.
            Defaults to False.
        flat_items (int): Items up to which all pooled vectors are compared.
            Defaults to 200,000.
        most_segments (int): Parts after which a flush compacts. Defaults to
            16.

    Raises:
        FileNotFoundError: If there is no store and none is to be made.
        ImportError: If faiss or pyarrow is not installed.
        LaunchError: If another process writes to the store.
        ValueError: If the store is damaged, of another model or of a newer
            mmtpr.

    Examples:
        >>> identity, vectors = ModelIdentity('m', 'w', 't'), torch.eye(2)
        >>> with FaissStore('gallery', identity, write=True) as store:
        ...     store.add(['a', 'b'], vectors, columns=dict(camera=[3, 4]))
        >>> FaissStore('gallery').search(vectors[0], 5, 'camera == 3')[0].ids
        ['a']
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        identity: ModelIdentity | None = None,
        write: bool = False,
        flat_items: int = FLAT_ITEMS,
        most_segments: int = 16,
    ) -> None:
        arrow()
        faiss()
        self.folder = Path(folder).absolute()
        self.name = str(folder)
        self.flat_items, self.most_segments = flat_items, most_segments
        self._lock = ExitStack()
        self._writes = write
        self._writer: SegmentWriter | None = None
        if write:
            place = self.folder / LOCK
            what = f'The store "{folder}"'
            self._lock.enter_context(hold_lock(place, what))
        try:
            if write and not (self.folder / NAME).exists():
                self._create(identity)
            self._generation = newest_generation(self.folder)
            found = self._generation.manifest.identity
            self.identity = ModelIdentity.from_dict(found)
            if identity is not None:
                self.identity.check(identity, self.name)
            self._forget()
            if write:
                remove_leftover_files(self.folder, self._manifest)
        except BaseException:
            self._lock.close()
            raise

    def _create(self, identity: ModelIdentity | None) -> None:
        others = sorted({*os.listdir(self.folder)} - {LOCK})
        others = [name for name in others if not name.startswith(f'.{NAME}.')]
        if others:
            raise ValueError(
                f'"{self.folder}" is no gallery store and holds other files, '
                f'e.g. "{others[0]}". Name an empty or a new folder.'
            )
        if identity is None:
            raise ValueError(
                f'There is no store "{self.folder}" yet: give the identity of '
                'the model to make one.'
            )
        Manifest(identity.to_dict()).write(self.folder)

    def _forget(self) -> None:
        """Start without changes, from what is on disk."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None
        self._places: dict[str, int] | None = None
        self._dead: set[int] = set()
        self._kinds = dict(self._manifest.columns)
        self._notes = dict(self._manifest.notes)

    def refresh(self) -> bool:
        """See what was flushed since the store was opened.

        Returns:
            bool: Whether something was.

        Raises:
            ValueError: If the store is damaged.
        """
        if self._writes:
            return False  # nobody else writes
        former = self._manifest.generation
        if read_manifest(self.folder).generation == former:
            return False
        self._generation = newest_generation(self.folder)
        self._forget()
        return self._manifest.generation != former

    def delete(self, ids: Sequence[str]) -> None:
        """See :meth:`GalleryStore.delete`."""
        places = self._known()
        ids = list(dict.fromkeys(ids))
        self._dead.update(rows_of(places, ids).tolist())
        for name in ids:
            del places[name]

    def flush(self) -> None:
        """See :meth:`GalleryStore.flush`."""
        if not self._writes or not self._dirty:
            return
        segments, number = self._manifest.segments, self._manifest.next_segment
        if self._writer is not None:
            new = self._writer.finish(self._kinds, self.flat_items)
            segments, number = (*segments, new), number + 1
        self._commit(segments, number, self._all_dead())
        if self._is_crowded():
            self.compact()

    def compact(self) -> None:
        """Write all items anew, without the deleted ones, in one part.

        Raises:
            LaunchError: If the disk is full; the former state is kept.
            ValueError: If the store was not opened for writing.
        """
        self._check_writes()
        if self._dirty:
            self.flush()
        manifest = self._manifest
        if manifest.deleted is None and len(manifest.segments) < 2:
            return
        number = manifest.next_segment
        if not len(self._generation):
            self._commit((), number, [])
            return
        writer = copy_live(self._generation, number)
        try:
            part = writer.finish(manifest.columns, self.flat_items)
        finally:
            writer.close()
        self._commit((part,), number + 1, [])

    def __len__(self) -> int:
        waiting = self._writer.items if self._writer is not None else 0
        return len(self._generation) + waiting - len(self._dead)

    @property
    def column_kinds(self) -> dict[str, str]:
        """See :attr:`GalleryStore.column_kinds`."""
        return dict(self._kinds)

    @property
    def notes(self) -> dict[str, Any]:
        """See :attr:`GalleryStore.notes`."""
        return copy.deepcopy(self._notes)

    def set_notes(self, notes: Mapping[str, Any]) -> None:
        """See :meth:`GalleryStore.set_notes`."""
        self._check_writes()
        self._notes = copy.deepcopy(dict(notes))

    def close(self) -> None:
        """See :meth:`GalleryStore.close`."""
        if self._dirty:
            warn(
                f'The store "{self.name}" is closed without changes that were '
                'not flushed.'
            )
        self._forget()
        if self._writes:
            remove_leftover_files(self.folder, self._manifest)
        self._writes = False
        self._lock.close()

    def _put(
        self,
        ids: Sequence[str],
        vectors: Tensor,
        paths: Sequence[str] | None,
        columns: Mapping[str, Sequence] | None,
        replace_present: bool,
    ) -> None:
        places = self._known()
        new = check_items(ids, vectors, paths, self._shape())
        present = [name for name in new.ids if name in places]
        if present and not replace_present:
            raise ValueError(
                f'{len(present)} of {len(new.ids)} ids are in the store '
                f'already, e.g. "{present[0]}". Upsert them to replace them.'
            )
        arrays, kinds = make_columns(columns or {}, len(new.ids), self._kinds)
        if not new.ids:
            return
        if self._writer is None:
            number, shape = self._manifest.next_segment, new.vectors.shape[1:]
            self._writer = SegmentWriter(self.folder, number, *shape)
        start = self._generation.rows + self._writer.items
        stop = start + len(new.ids)
        self._writer.add(new.ids, new.paths, new.vectors, arrays)
        self._kinds = kinds
        self._dead.update(places[name] for name in present)
        places.update(zip(new.ids, range(start, stop), strict=True))

    def _check_writes(self) -> None:
        if not self._writes:
            raise ValueError(
                f'The store "{self.name}" is open for reading only. Open it '
                'with write=True.'
            )

    def _known(self) -> dict[str, int]:
        """Rows of all items by id, those that wait included."""
        self._check_writes()
        if self._places is None:
            self._places = dict(self._generation.places)
        return self._places

    @property
    def _dirty(self) -> bool:
        noted = self._notes != self._manifest.notes
        return self._writer is not None or bool(self._dead) or noted

    def _all_dead(self) -> list[int]:
        live = self._generation.live
        former = [] if live is None else (~live).nonzero()[0].tolist()
        return sorted({*former, *self._dead})

    def _commit(
        self,
        segments: tuple[SegmentFacts, ...],
        next_segment: int,
        dead: list[int],
    ) -> None:
        """Make files the current generation."""
        manifest = self._manifest
        deleted = None
        if dead:
            number = manifest.generation + 1
            path = self.folder / f'deleted-{number:06d}.npy'
            with atomic_write(path) as file:
                np.save(file, np.array(dead, dtype=np.int64))
            deleted = file_facts(path)
        shape = self._shape()
        new = manifest.after(
            segments=segments,
            next_segment=next_segment,
            deleted=deleted,
            columns=self._kinds,
            notes=self._notes,
            vectors=shape[0],
            dim=shape[1],
        )
        new.write(self.folder)
        self._generation = Generation(self.folder, new)
        self._forget()
        remove_leftover_files(self.folder, new)

    def _is_crowded(self) -> bool:
        parts = self._manifest.segments
        flat = sum(part.items for part in parts if part.flat)
        return len(parts) > self.most_segments or flat > self.flat_items

    def _shape(self) -> tuple[int, int]:
        if self._writer is not None:
            return self._writer.vectors, self._writer.dim
        return self._manifest.vectors, self._manifest.dim
