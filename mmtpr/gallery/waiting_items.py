"""Changes of a store that wait for a flush."""

from collections.abc import Collection, Sequence
from typing import Any, Protocol

import numpy as np


class Receiver(Protocol):
    """Where changes go."""

    def upsert(
        self,
        ids: Sequence[str],
        stored: np.ndarray,
        pooled: np.ndarray,
        payloads: Sequence[dict],
    ) -> None:
        """Write items."""
        ...

    def delete(self, ids: Sequence[str]) -> None:
        """Delete items."""
        ...


class WaitingItems:
    """Items that are to be written or deleted; the last change of one counts.

    Attributes:
        more (int): How many items more there will be; negative for fewer.
    """

    def __init__(self) -> None:
        self.more = 0
        # (stored (T, D), pooled (D, ), payload), or None for a deletion
        self._changes: dict[str, tuple[Any, Any, dict] | None] = {}

    def __len__(self) -> int:
        return len(self._changes)

    def upsert(
        self,
        ids: Sequence[str],
        stored: np.ndarray,
        pooled: np.ndarray,
        payloads: Sequence[dict],
        present: Collection[str],
    ) -> None:
        """Take items in.

        Args:
            ids (Sequence[str]): Of n items.
            stored (ndarray): Of shape (n, T, D).
            pooled (ndarray): Of shape (n, D).
            payloads (Sequence[dict]): One an item.
            present (Collection[str]): Those that there are already.
        """
        new = zip(stored, pooled, payloads, strict=True)
        self._changes.update(zip(ids, new, strict=True))
        self.more += len(ids) - len(present)

    def delete(self, ids: Sequence[str]) -> None:
        """Take deletions in.

        Args:
            ids (Sequence[str]): Of items that there are.
        """
        self._changes.update(dict.fromkeys(ids))
        self.more -= len(ids)

    def apply(self, ids: Sequence[str], there: Collection[str]) -> set[str]:
        """Tell which items there are after the changes.

        Args:
            ids (Sequence[str]): That are asked for.
            there (Collection[str]): Which of them there are before.

        Returns:
            set[str]: Which there are after.
        """
        return {
            name
            for name in ids
            if (
                self._changes[name] is not None
                if name in self._changes
                else name in there
            )
        }

    def send(self, receiver: Receiver) -> None:
        """Make the changes; those that were not made wait on.

        Args:
            receiver (Receiver): Where to.
        """
        gone = [name for name, new in self._changes.items() if new is None]
        if gone:
            receiver.delete(gone)
        new = {k: v for k, v in self._changes.items() if v is not None}
        if new:
            stored, pooled, payloads = zip(*new.values(), strict=True)
            receiver.upsert(
                list(new), np.stack(stored), np.stack(pooled), payloads
            )
        self._changes.clear()
        self.more = 0
