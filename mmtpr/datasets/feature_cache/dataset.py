"""Dataset wrapper that gives features of a frozen encoder."""

import copy
import socket
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.dataset import Compose, force_full_init
from mmengine.dist import get_rank
from mmengine.logging import print_log
from torch import nn

from mmtpr.registry import DATASETS
from mmtpr.structures import RetrievalDataSample
from mmtpr.structures.pairs import dataset_name, read_pairs
from mmtpr.utils.leftovers import refuse_leftovers
from mmtpr.utils.main_first import on_main_process
from mmtpr.utils.warn import warn

from .encode import PairEncoder, encode_pairs
from .key import cache_key
from .store import FeatureCache, differences, read_cache

#: Seconds that a shared disk may take to show other nodes what is new.
_DELAY = 120.0
_ON_MISMATCH = ('recompute', 'error')


@DATASETS.register_module()
@refuse_leftovers
class CachedFeatureDataset:
    """Encode the pairs of a dataset once, then train on the features.

    For networks over a frozen encoder, as in Word4Per's second stage. The
    first use encodes all images and captions and writes them to ``cache``;
    later ones memory-map that folder, after checking that it belongs to these
    pairs, these files of images (by size and time), this pipeline and this
    encoder. Of several processes the main one encodes, and the others wait
    however long it takes. Samples hold ``image_feat`` and ``text_feat``,
    (D, ), un-normalised, and ``pid``.

    Args:
        dataset (dict | BaseDataset): Pairs of image and caption.
        encoder (dict | nn.Module): The frozen encoder, as in the model.
        cache (str): Folder of the cache, for it alone, on a disk that all
            nodes share. It appears whole or not at all.
        pipeline (Sequence[dict], optional): Transforms from an entry to a
            packed sample. Defaults to None, the wrapped dataset's.
        views (int): How often each image is encoded, differently where the
            pipeline augments; an epoch draws one. Defaults to 1.
        dtype (str): ``'float32'`` or ``'float16'``. Defaults to
            ``'float32'``.
        on_mismatch (str): For a cache of other data, another pipeline or
            another encoder: ``'recompute'``, with a warning, or ``'error'``.
            Defaults to ``'recompute'``.
        data_preprocessor (dict, optional): That of the model, if it has
            arguments. Defaults to None.
        batch_size (int): Samples encoded at once. Defaults to 64.
        num_workers (int): Processes that load images. Defaults to 0.
        device (str, optional): Where to encode. Defaults to None: a GPU if
            there is one.
        lazy_init (bool): Whether to load only when needed. Defaults to
            False.

    Raises:
        ValueError: If an argument is out of range, the folder is not one of
            a cache, or the cache belongs to something else and
            ``on_mismatch`` is ``'error'``.
        FileNotFoundError: If another node made the cache and it is not to
            be seen here.
    """

    def __init__(
        self,
        dataset: Any,
        encoder: dict | nn.Module,
        cache: str,
        pipeline: Sequence[dict] | None = None,
        views: int = 1,
        dtype: str = 'float32',
        on_mismatch: str = 'recompute',
        data_preprocessor: dict | None = None,
        batch_size: int = 64,
        num_workers: int = 0,
        device: str | None = None,
        lazy_init: bool = False,
    ) -> None:
        if views < 1:
            raise ValueError(f'views must be at least 1, got {views}.')
        for name, value, choices in (
            ('dtype', dtype, ('float32', 'float16')),
            ('on_mismatch', on_mismatch, _ON_MISMATCH),
        ):
            if value not in choices:
                raise ValueError(
                    f'{name} must be one of {choices}, got {value!r}.'
                )
        if isinstance(dataset, dict):
            dataset = DATASETS.build(dataset)
        self.dataset = dataset
        self.encoder: dict | nn.Module | None = encoder
        self.cache = str(cache)
        self.pipeline = self._pipeline(pipeline)
        self.views, self.dtype = views, dtype
        self.on_mismatch = on_mismatch
        self.data_preprocessor = data_preprocessor
        self.options = dict(batch_size=batch_size, num_workers=num_workers)
        self.device = device
        self._metainfo = dataset.metainfo
        self._features: FeatureCache | None = None
        self._fully_initialized = False
        if not lazy_init:
            self.full_init()

    def _pipeline(self, pipeline: Sequence[dict] | None) -> Compose:
        if pipeline is not None:
            return Compose(list(pipeline))
        own = getattr(self.dataset, 'pipeline', None)
        if own is None:
            raise ValueError(
                f'{dataset_name(self.dataset)} has no pipeline of its own; '
                'give CachedFeatureDataset one.'
            )
        return own

    @property
    def metainfo(self) -> dict:
        """Meta information of the wrapped dataset, a copy."""
        return copy.deepcopy(self._metainfo)

    def full_init(self) -> None:
        """Load the wrapped dataset, and make or check the cache.

        The main process makes it; the others wait.
        """
        if self._fully_initialized:
            return
        self.dataset.full_init()
        self._metainfo = self.dataset.metainfo
        pairs = read_pairs(self.dataset)
        meta = on_main_process(lambda: self._provide(pairs))
        self._find(meta)
        self.encoder = None  # served its purpose, and may be large
        infos = (self.dataset.get_data_info(i) for i in range(len(pairs)))
        facts = [(d.get('pid', -1), d.get('image_id', -1)) for d in infos]
        self._facts = np.array(facts, dtype=np.int64)
        self._fully_initialized = True

    def _provide(self, pairs) -> dict:
        """Make the cache if it is not there; gives what it is made of."""
        encoder = PairEncoder(
            self.encoder, self.data_preprocessor, self.device
        )
        key = cache_key(pairs, self.pipeline, encoder, self.views, self.dtype)
        if self._fits(key):
            print_log(f'Features are in "{self.cache}".', logger='current')
        else:
            meta = dict(key, name=dataset_name(self.dataset))
            encode_pairs(
                self.cache, meta, pairs, self.pipeline, encoder, **self.options
            )
        meta = read_cache(self.cache).meta
        if cut := meta.get('cut_captions'):
            warn(
                f'{cut} of {len(pairs)} captions of '
                f'{dataset_name(self.dataset)} were too long for the text '
                'tower and were cut.'
            )
        return dict(meta, node=socket.gethostname())

    def _find(self, meta: dict) -> None:
        """Check that this process sees the cache that the main one made."""
        node = meta.pop('node')
        end = time.monotonic() + _DELAY
        while get_rank() != 0 and not self._sees(meta):
            if time.monotonic() > end:
                raise FileNotFoundError(
                    f'The feature cache "{self.cache}" was made on '
                    f'"{node}", but process {get_rank()} on '
                    f'"{socket.gethostname()}" does not see it: name a '
                    'folder with cache that all nodes share.'
                )
            time.sleep(1)

    def _sees(self, meta: dict) -> bool:
        try:
            return read_cache(self.cache).meta == meta
        except (FileNotFoundError, ValueError):  # of old, or half to be seen
            return False

    def _fits(self, key: dict) -> bool:
        """Check whether there is a cache and it is the right one."""
        try:
            found = differences(read_cache(self.cache).meta, key)
        except FileNotFoundError:
            return False
        if not found:
            return True
        message = (
            f'The feature cache "{self.cache}" belongs to something else '
            f'({"; ".join(found)})'
        )
        if self.on_mismatch == 'error':
            raise ValueError(
                f'{message}. Name another folder, delete this one, or set '
                'on_mismatch="recompute".'
            )
        warn(f'{message}: it is made anew.')
        return False

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """Get an entry of the wrapped dataset.

        Args:
            idx (int): Index of the pair.

        Returns:
            dict: The entry.
        """
        return self.dataset.get_data_info(idx)

    @force_full_init
    def __len__(self) -> int:
        return len(self._facts)

    @force_full_init
    def __getitem__(self, idx: int) -> dict:
        if self._features is None:
            # Opened in the process that reads, not sent to it.
            self._features = read_cache(self.cache)
        cache = self._features
        view = np.random.randint(self.views) if self.views > 1 else 0
        pid, image_id = self._facts[idx].tolist()
        meta = dict(role='train', pid=pid, image_id=image_id)
        sample = RetrievalDataSample(metainfo=meta)
        image = cache.image[int(cache.image_row[idx]), view]
        sample.image_feat = torch.from_numpy(np.array(image))
        sample.text_feat = torch.from_numpy(np.array(cache.text[idx]))
        return dict(inputs={}, data_samples=sample)

    def __getstate__(self) -> dict:
        """Leave memory-mapped files behind when sent to a worker."""
        return {**self.__dict__, '_features': None}
