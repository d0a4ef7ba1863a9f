"""Encoding the pairs of a dataset once."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mmtpr.models.data_preprocessor import collate_for
from mmtpr.models.embedder import Embedder, unreadable_error
from mmtpr.registry import MODELS
from mmtpr.structures import RetrievalDataSample
from mmtpr.structures.pairs import Pairs
from mmtpr.utils.fingerprint import settings_fingerprint
from mmtpr.utils.progress import progress

from .store import CacheWriter


class PairEncoder:
    """A frozen encoder with its data preprocessor.

    Args:
        encoder (dict | nn.Module): Such as :class:`OpenCLIPEncoder`.
        data_preprocessor (dict, optional): The type defaults to
            ``mmtpr.RetrievalDataPreprocessor``.
        device (str, optional): Defaults to None: a GPU if there is one.
    """

    def __init__(
        self,
        encoder: Any,
        data_preprocessor: dict | None = None,
        device: str | None = None,
    ) -> None:
        if not isinstance(encoder, nn.Module):
            encoder = MODELS.build(encoder)
        preprocessor = {
            'type': 'mmtpr.RetrievalDataPreprocessor',
            **(data_preprocessor or {}),
        }
        has_gpu = torch.cuda.is_available()
        self.device = device or ('cuda' if has_gpu else 'cpu')
        self.encoder: Any = encoder.eval()
        self.preprocessor = MODELS.build(preprocessor)

    def fingerprint(self) -> str:
        """Fingerprint of the encoder and of the normalisation.

        Weights count, and what their modules make of them: activations,
        number of heads, size of the images.

        Returns:
            str: 32 hexadecimal digits.
        """
        return settings_fingerprint(self.encoder, self.preprocessor)

    @property
    def collate(self) -> Callable[[list[dict]], dict]:
        """What makes a batch of packed samples."""
        return collate_for(self.preprocessor)

    @torch.inference_mode()
    def encode(self, batch: dict, kind: str) -> Tensor:
        """Encode images or captions.

        Args:
            batch (dict): Of B samples, as :attr:`collate` makes it.
            kind (str): ``'image'`` or ``'text'``.

        Returns:
            Tensor: Un-normalised features of shape (B, D), on the CPU.

        Raises:
            ValueError: If the pipeline does not give what is to be encoded.
        """
        self.encoder.to(self.device)
        self.preprocessor.to(self.device)
        name = 'tokens' if kind == 'text' else 'image'
        inputs = self.preprocessor(batch)['inputs']
        if len(inputs.get(name, ())) != len(batch['data_samples']):
            raise ValueError(
                f'The pipeline of CachedFeatureDataset gives no {name} for '
                'some samples: it needs an image loader, '
                "'mmtpr.TokenizeCaption' and 'mmtpr.PackRetrievalInputs'."
            )
        feats = getattr(self.encoder, f'encode_{kind}')(inputs[name])
        return feats.float().cpu()


def encode_pairs(
    folder: str,
    meta: dict[str, Any],
    pairs: Pairs,
    pipeline: Callable,
    encoder: PairEncoder,
    batch_size: int = 64,
    num_workers: int = 0,
) -> None:
    """Encode every image and caption and write the cache.

    An image of several captions is encoded once for each view.

    Args:
        folder (str): Where the cache goes.
        meta (dict): What it is made of, with ``views`` and ``dtype``. The
            number of captions that were too long, ``cut_captions``, comes to
            it.
        pairs (Pairs): The pairs.
        pipeline (Callable): From an entry to a packed sample.
        encoder (PairEncoder): The encoder.
        batch_size (int): Samples encoded at once. Defaults to 64.
        num_workers (int): Processes that load images. Defaults to 0.

    Raises:
        ValueError: If an image cannot be read, or a feature is not finite.
    """
    paths, first, image_row = np.unique(
        pairs.paths, return_index=True, return_inverse=True
    )
    views = meta['views']
    print_log(
        f'Encoding {len(paths)} images ({views} views) and {len(pairs)} '
        f'captions once for "{folder}".',
        logger='current',
    )

    dim = encoder.encoder.embed_dim
    shapes = dict(image=(len(paths), views, dim), text=(len(pairs), dim))
    flat = [i for i in first for _ in range(views)]
    images = _Entries(pairs, flat, 'image')
    texts = _Entries(pairs, range(len(pairs)), 'text')
    with CacheWriter(folder, meta, shapes, image_row, meta['dtype']) as arrays:
        for part, what, entries in (
            ('image', 'views of images', images),
            ('text', 'captions', texts),
        ):
            rows = arrays[part].reshape(-1, dim)
            embed = partial(encoder.encode, kind=part)
            embedder = Embedder(
                pipeline, encoder.collate, embed, batch_size, num_workers
            )
            cut = 0
            with progress(len(entries), f'Encoding {what}') as done:
                for batch in embedder(entries):
                    if batch.broken:
                        raise unreadable_error(entries, batch.broken)
                    feats: Any = batch.feats
                    rows[batch.indices] = feats.numpy()
                    if part == 'text':
                        cut += sum(map(_is_cut, batch.batch['data_samples']))
                    done(len(batch))
        meta['cut_captions'] = cut  # written with the rest on the way out


def _is_cut(sample: RetrievalDataSample) -> bool:
    return bool(sample.get('caption_cut'))


class _Entries(Sequence):
    """Entries of pairs, each with its image alone or its caption alone."""

    def __init__(
        self, pairs: Pairs, indices: Sequence[int], kind: str
    ) -> None:
        self.pairs, self.indices, self.kind = pairs, indices, kind

    def __len__(self) -> int:
        return len(self.indices)

    # By number alone: slices are not asked for.
    def __getitem__(self, place: int) -> dict:  # type: ignore[override]
        index = int(self.indices[place])
        if self.kind == 'image':
            return self.pairs.image_entry(index)
        return dict(role='query', caption=self.pairs.captions[index])
