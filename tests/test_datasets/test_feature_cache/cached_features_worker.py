"""One of two processes that use a feature cache.

Usage: cached_features_worker.py RANK FOLDER CASE, with FOLDER/data made by
``write_tiny_cuhk``. Writes FOLDER/RANK.json. The process group gives up after
TIMEOUT seconds, and encoding takes longer than that.
"""

import faulthandler
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

TIMEOUT = 5
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
    module._DELAY = 0.5
    module.PairEncoder = SlowEncoder
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
        data = CachedFeatureDataset(dataset, encoder, folder / own)
    except Exception as error:
        return dict(error=f'{type(error).__name__}: {error}')
    total = sum(d['data_samples'].image_feat.sum().item() for d in data)
    return dict(length=len(data), total=total)


def main() -> None:
    """Run one process."""
    faulthandler.dump_traceback_later(150, exit=True)  # a hang shows
    torch.set_num_threads(1)
    rank, folder = int(sys.argv[1]), Path(sys.argv[2])
    meet(rank, folder)
    found = use(rank, folder, sys.argv[3])
    (folder / f'{rank}.json').write_text(json.dumps(found))
    dist.destroy_process_group()


if __name__ == '__main__':
    main()
