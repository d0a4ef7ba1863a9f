"""One of two processes that use feature caches, in one case after another.

Usage: cached_features_worker.py RANK FOLDER, with FOLDER/data made by
``write_tiny_cuhk``. Writes FOLDER/RANK.json. The process group gives up after
TIMEOUT seconds, and encoding the first cache takes longer than that.
"""

import json
import sys
import time
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed as dist

from mmtpr.datasets import CachedFeatureDataset
from mmtpr.datasets.feature_cache import dataset as module
from mmtpr.datasets.feature_cache.encode import PairEncoder
from mmtpr.registry import MODELS
from mmtpr.testing import tiny_encoder_cfg

CASES = ('shared', 'unshared', 'fails')
TIMEOUT = 1
PIPELINE = [
    dict(
        type='mmtpr.ImageTransforms',
        transforms=[dict(type='LoadImageFromFile')],
    ),
    dict(type='mmtpr.TokenizeCaption', context_length=16),
    dict(type='mmtpr.PackRetrievalInputs'),
]


class SlowEncoder(PairEncoder):
    """Takes longer than the process group waits."""

    def encode(self, batch, kind):
        time.sleep(0.8 * TIMEOUT)
        return super().encode(batch, kind)


def meet(rank: int, folder: Path) -> None:
    """Join the other process, patiently; then wait no longer than TIMEOUT."""
    dist.init_process_group(
        'gloo',
        init_method=f'file://{folder}/rendezvous',
        rank=rank,
        world_size=2,
    )
    dist.barrier()
    limit = timedelta(seconds=TIMEOUT)
    dist.distributed_c10d._set_pg_timeout(limit, dist.group.WORLD)


def use(rank: int, folder: Path, case: str) -> dict:
    """Make or open the cache; gives what came of it."""
    pipeline = PIPELINE[:1] + PIPELINE[2:] if case == 'fails' else PIPELINE
    own = f'cache{rank}' if case == 'unshared' else 'cache'
    slow = case == 'shared'
    module.PairEncoder = SlowEncoder if slow else PairEncoder
    torch.manual_seed(0)
    encoder = MODELS.build(tiny_encoder_cfg(context_length=16))
    dataset = dict(
        type='mmtpr.CUHKPEDES',
        data_root=str(folder / 'data'),
        ann_file='reid_raw.json',
        data_prefix=dict(img_path='imgs'),
        pipeline=pipeline,
    )
    try:
        data = CachedFeatureDataset(dataset, encoder, folder / case / own)
    except Exception as error:
        return dict(error=f'{type(error).__name__}: {error}')
    total = sum(d['data_samples'].image_feat.sum().item() for d in data)
    return dict(length=len(data), total=total)


def main() -> None:
    """Run one process."""
    torch.set_num_threads(1)
    rank, folder = int(sys.argv[1]), Path(sys.argv[2])
    module._DELAY = 0  # what is not there will not come
    meet(rank, folder)
    found = {case: use(rank, folder, case) for case in CASES}
    (folder / f'{rank}.json').write_text(json.dumps(found))
    dist.destroy_process_group()


if __name__ == '__main__':
    main()
