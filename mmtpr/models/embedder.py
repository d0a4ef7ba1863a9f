"""Embedding of many images through a pipeline, a batch at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mmtpr.utils.images import image_problem


@dataclass
class EmbeddedBatch:
    """Embeddings of one batch of entries.

    Attributes:
        indices (list[int]): Indices of the B entries that were embedded.
        batch (Any): What was made of their packed samples; None if B is 0.
        feats (Tensor | None): Their embeddings, (B, ...); None if B is 0.
        broken (dict[int, str]): Reasons by index of the entries whose image
            cannot be read.
    """

    indices: list[int]
    batch: Any
    feats: Tensor | None
    broken: dict[int, str]

    def __len__(self) -> int:
        """Count the entries, broken ones included."""
        return len(self.indices) + len(self.broken)


class Embedder:
    """Load entries through a pipeline and embed them.

    Entries whose image cannot be read are named and left out of their batch;
    other errors of the pipeline are raised, and so are those of entries
    without an image.

    Args:
        pipeline (Callable): From an entry to a packed sample.
        collate (Callable[[list[dict]], Any]): From B packed samples to a
            batch, called where they are loaded.
        embed (Callable[[Any], Tensor]): From a batch to embeddings, (B, ...).
        batch_size (int): Entries in a batch. Defaults to 64.
        num_workers (int): Processes that load. Defaults to 0.
    """

    def __init__(
        self,
        pipeline: Callable[[dict], dict | None],
        collate: Callable[[list[dict]], Any],
        embed: Callable[[Any], Tensor],
        batch_size: int = 64,
        num_workers: int = 0,
    ) -> None:
        self.pipeline = pipeline
        self.collate = collate
        self.embed = embed
        self.batch_size = batch_size
        self.num_workers = num_workers

    def __call__(self, entries: Sequence[dict]) -> Iterator[EmbeddedBatch]:
        """Embed entries.

        Args:
            entries (Sequence[dict]): What the pipeline takes, N of them, with
                ``img_path`` or ``caption``.

        Yields:
            EmbeddedBatch: Batches in the order of the entries.

        Raises:
            ValueError: If an embedding is not finite.
        """
        loader = DataLoader(
            _Packed(entries, self.pipeline),
            self.batch_size,
            num_workers=min(self.num_workers, len(entries)),
            collate_fn=partial(_load, collate=self.collate),
            pin_memory=torch.cuda.is_available(),
        )
        for loaded in loader:
            indices, batch = loaded['indices'], loaded['batch']
            feats = self.embed(batch) if indices else None
            if feats is not None:
                check_finite(feats, entries, indices)
            yield EmbeddedBatch(indices, batch, feats, loaded['broken'])


class EmbeddedRows:
    """Embeddings of many entries in one array that is filled batch by batch.

    A list of batches that is joined in the end would need twice the memory.

    Args:
        number (int): Rows N of the array.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self._rows: Tensor | None = None

    def put(self, indices: Sequence[int], feats: Tensor) -> None:
        """Put the embeddings of a batch in place.

        Args:
            indices (Sequence[int]): Rows of the B embeddings.
            feats (Tensor): The embeddings, (B, ...).
        """
        if self._rows is None:
            shape = (self.number, *feats.shape[1:])
            self._rows = feats.new_zeros(shape)  # (N, ...)
        self._rows[indices] = feats

    def first(self, number: int) -> Tensor | None:
        """Give the first rows.

        Args:
            number (int): How many.

        Returns:
            Tensor | None: Of shape (number, ...), with no other rows behind;
            None if none was ever put in place.
        """
        rows = self._rows
        if rows is None or number == self.number:
            return rows
        return rows[:number].clone()


def unreadable_error(
    entries: Sequence[dict], broken: dict[int, str], advice: str = ''
) -> ValueError:
    """Make the error that names an unreadable image.

    Args:
        entries (Sequence[dict]): The entries.
        broken (dict[int, str]): Reasons by index of the entry.
        advice (str): End of the sentence that begins with "Repair or remove
            such images". Defaults to ``''``.

    Returns:
        ValueError: The error.
    """
    index, reason = next(iter(broken.items()))
    return ValueError(
        f'{len(broken)} of {len(entries)} images cannot be read, e.g. '
        f'"{_name(entries[index])}": {reason}. Repair or remove such images'
        f'{advice}.'
    )


def check_finite(
    feats: Tensor,
    entries: Sequence[dict],
    indices: Sequence[int] | None = None,
) -> None:
    """Check that embeddings are finite.

    Args:
        feats (Tensor): Embeddings, (B, ...).
        entries (Sequence[dict]): The entries.
        indices (Sequence[int], optional): Indices of the B entries that were
            embedded. Defaults to None, all.

    Raises:
        ValueError: If one is not, naming the first.
    """
    finite = torch.isfinite(feats).flatten(1).all(1)  # (B, )
    if not finite.all():
        row = int((~finite).nonzero()[0])
        entry = entries[row if indices is None else indices[row]]
        raise ValueError(
            f'The embedding of "{_name(entry)}" is not finite. Check the '
            'checkpoint, or embed without mixed precision (--amp).'
        )


@dataclass
class _Item:
    index: int
    sample: dict | None
    reason: str


def _load(items: list[_Item], collate: Callable) -> dict[str, Any]:
    """Make a batch of the samples that could be loaded."""
    good = [item for item in items if item.sample is not None]
    return dict(
        indices=[item.index for item in good],
        batch=collate([item.sample for item in good]) if good else None,
        broken={x.index: x.reason for x in items if x.sample is None},
    )


class _Packed(Dataset):
    """Packed samples of entries, or the reasons why there are none."""

    def __init__(self, entries: Sequence[dict], pipeline: Callable) -> None:
        self.entries = entries
        self.pipeline = pipeline

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> _Item:
        entry = self.entries[index]
        try:
            sample = self.pipeline(dict(entry))
        except Exception as error:
            return _Item(index, None, _reason(entry, error))
        if sample is None and 'img_path' not in entry:
            raise ValueError(f'The pipeline gives nothing for {entry}.')
        return _Item(index, sample, 'the pipeline gives nothing')


def _reason(entry: dict, error: Exception) -> str:
    """Say why an image cannot be read; raise what is no fault of the image."""
    if 'img_path' not in entry:
        raise error
    problem = image_problem(entry['img_path'])
    if not problem and not isinstance(error, OSError | ValueError):
        raise error
    return problem or str(error).rstrip('.')


def _name(entry: dict) -> Any:
    return entry.get('img_path', entry.get('caption'))
