"""Embedding the images of a gallery."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from mmtpr.models.embedder import EmbeddedRows, Embedder
from mmtpr.utils.progress import progress
from mmtpr.utils.warn import warn

from .gallery_index import GalleryIndex


def image_entries(paths: Sequence[str]) -> list[dict]:
    """Make the entries of images of a gallery.

    Args:
        paths (Sequence[str]): The images.

    Returns:
        list[dict]: What the pipeline takes.
    """
    return [
        dict(role='gallery', img_path=path, pid=-1, image_id=index)
        for index, path in enumerate(paths)
    ]


def image_embedder(
    pipeline: Callable,
    collate: Callable,
    model: Any,
    batch_size: int = 64,
    num_workers: int = 0,
) -> Embedder:
    """Make what embeds images.

    Args:
        pipeline (Callable): See :func:`embed_gallery`.
        collate (Callable): Likewise.
        model (nn.Module): Likewise.
        batch_size (int): Likewise.
        num_workers (int): Likewise.

    Returns:
        Embedder: Gives embeddings (B, T, D) or (B, D), float32, of entries.
    """

    @torch.no_grad()
    def embed(batch: Any) -> Tensor:
        found = model.test_step(batch)
        return torch.stack([sample.features.float().cpu() for sample in found])

    return Embedder(pipeline, collate, embed, batch_size, num_workers)


@torch.no_grad()
def embed_gallery(
    paths: Sequence[str],
    pipeline: Callable,
    collate: Callable,
    model: Any,
    batch_size: int = 64,
    num_workers: int = 0,
) -> GalleryIndex:
    """Embed images; those that cannot be read are named and left out.

    Args:
        paths (Sequence[str]): The images.
        pipeline (Callable): From an entry to a packed sample.
        collate (Callable): Makes a batch of a list of samples.
        model (nn.Module): With ``test_step`` that puts ``features``, (T, D)
            or (D, ), on every sample.
        batch_size (int): Images in a batch. Defaults to 64.
        num_workers (int): Processes that read. Defaults to 0.

    Returns:
        GalleryIndex: The embeddings.

    Raises:
        ValueError: If no image can be read, or an embedding is not finite.
    """
    entries = image_entries(paths)
    rows = EmbeddedRows(len(entries))
    kept: list[str] = []
    broken: dict[str, str] = {}
    embedder = image_embedder(
        pipeline, collate, model, batch_size, num_workers
    )
    with progress(len(entries), 'Embedding the images of the gallery') as done:
        for batch in embedder(entries):
            if batch.feats is not None:
                stop = len(kept) + len(batch.indices)
                rows.put(range(len(kept), stop), batch.feats)
            kept += [paths[index] for index in batch.indices]
            broken.update({paths[i]: why for i, why in batch.broken.items()})
            done(len(batch.indices) + len(batch.broken))
    _report(broken, len(paths), len(kept))
    feats: Any = rows.first(len(kept))
    feats = feats[:, None] if feats.dim() == 2 else feats  # (N, T, D)
    return GalleryIndex(kept, feats, broken)


def _report(broken: dict[str, str], total: int, num_kept: int) -> None:
    for path, reason in broken.items():
        warn(f'The image "{path}" is left out: {reason}.')
    if not num_kept:
        path, reason = next(iter(broken.items()))
        raise ValueError(
            f'None of the {total} images of the gallery can be read; the '
            f'first, "{path}": {reason}.'
        )
    if broken:
        warn(f'{total - num_kept} of {total} images are left out.')
