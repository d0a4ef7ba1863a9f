"""Reading of a store in a folder."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from .generation import Generation, rows_of
from .manifest import Manifest
from .store import GalleryStore
from .two_stage import ItemSource

_TRIES = 10


class FolderReading(GalleryStore):
    """What readers and the writer of a store in a folder do alike."""

    _generation: Generation

    @property
    def _manifest(self) -> Manifest:
        return self._generation.manifest

    def fetch(self, ids: Sequence[str]) -> Tensor:
        """See :meth:`GalleryStore.fetch`."""
        self._before_reading()
        return self._generation.read(rows_of(self._generation.places, ids))

    def columns(self, ids: Sequence[str]) -> dict[str, list]:
        """See :meth:`GalleryStore.columns`."""
        self._before_reading()
        generation = self._generation
        rows = rows_of(generation.places, ids)
        names = ('path', *self._manifest.columns)
        return {name: generation.column(name, rows) for name in names}

    def ids(self, where: str | None = None) -> list[str]:
        """See :meth:`GalleryStore.ids`."""
        self._before_reading()
        allowed = self._generation.allowed(where)
        rows = np.arange(self._generation.rows)
        rows = rows if allowed is None else rows[allowed]
        return self._generation.column('id', rows)

    def verify(self) -> list[str]:
        """See :meth:`GalleryStore.verify`; the newest state is read."""
        self._before_reading()
        for _ in range(_TRIES):
            self.refresh()
            found = self._generation.damage()
            # Files of a former state may have gone while they were read.
            if not found or not self.refresh():
                return found
        return ['it is written to all the time; verify it when it rests']

    def _source(
        self, where: str | None
    ) -> tuple[ItemSource, np.ndarray | None]:
        return self._generation, self._generation.allowed(where)
