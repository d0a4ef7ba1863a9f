"""Embedding the pictures of a gallery."""

import logging
from collections.abc import Callable, Sequence

import torch
from mmengine.logging import print_log
from torch import nn
from torch.utils.data import DataLoader, Dataset

from .gallery_index import GalleryIndex


class _Pictures(Dataset):
    """Pictures through a pipeline; a broken one gives its error's text."""

    def __init__(self, paths: Sequence[str], pipeline: Callable) -> None:
        self.paths = paths
        self.pipeline = pipeline

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[str, dict | str]:
        path = self.paths[index]
        sample = dict(role='gallery', img_path=path, pid=-1, image_id=index)
        try:
            return path, self.pipeline(sample)
        except (OSError, ValueError) as error:
            return path, str(error)


@torch.no_grad()
def embed_gallery(
    paths: Sequence[str],
    pipeline: Callable,
    collate: Callable,
    model: nn.Module,
    batch_size: int = 64,
    num_workers: int = 0,
) -> GalleryIndex:
    """Embed pictures; those that cannot be read are named and left out.

    Args:
        paths (Sequence[str]): The pictures.
        pipeline (Callable): Transforms; raises OSError or ValueError for a
            picture it cannot read.
        collate (Callable): Makes a batch of a list of samples.
        model (nn.Module): With ``test_step`` that puts ``features``, (T, D)
            or (D, ), on every sample.
        batch_size (int): Pictures in a batch. Defaults to 64.
        num_workers (int): Processes that read. Defaults to 0.

    Returns:
        GalleryIndex: The embeddings.

    Raises:
        ValueError: If no picture can be read.
    """
    loader = DataLoader(
        _Pictures(paths, pipeline),
        batch_size,
        num_workers=num_workers,
        collate_fn=list,
    )
    kept, features, broken = [], [], {}
    for batch in loader:
        good = [entry for entry in batch if isinstance(entry[1], dict)]
        broken.update(entry for entry in batch if isinstance(entry[1], str))
        if good:
            packed = [sample for _, sample in good]
            samples = model.test_step(collate(packed))
            kept += [path for path, _ in good]
            features += [sample.features.float().cpu() for sample in samples]
    _report(broken, len(paths))
    stacked = torch.stack(features)
    stacked = stacked[:, None] if stacked.dim() == 2 else stacked
    return GalleryIndex(kept, stacked, broken)


def _report(broken: dict[str, str], total: int) -> None:
    for path, reason in broken.items():
        _warn(f'The picture "{path}" is left out: {reason}')
    if broken and len(broken) == total:
        raise ValueError(
            f'None of the {total} pictures of the gallery can be read; the '
            f'first: {next(iter(broken.values()))}'
        )
    if broken:
        _warn(f'{len(broken)} of {total} pictures are left out.')


def _warn(message: str) -> None:
    print_log(message, logger='current', level=logging.WARNING)
