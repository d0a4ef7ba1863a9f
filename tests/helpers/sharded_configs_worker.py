"""One process of whole runs of real configs made small, spread and with DDP.

Usage: python sharded_configs_worker.py RANK WORLD_SIZE FOLDER [RUN ...]; data
are in FOLDER/data. Every run has a folder of its own.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from fully_sharded_worker import join, leave
from mmengine.runner import Runner

from mmtpr.engine import launch
from mmtpr.engine.processes import wrap_on_cpus
from mmtpr.testing import shrink_config

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
FAFA = 'fafa_blip2_syncpr_itcpr.py'
BFLOAT16 = 'bfloat16'
RECOMPUTE = {'model.encoder.module.grad_checkpointing': True}
# Every part is encoded twice, and its layers once more.
PARTS = {'model.accumulate': 2, **RECOMPUTE}
SHORT = {'train_cfg.max_epochs': 1}
FP16 = {'val_cfg.fp16': True, 'test_cfg.fp16': True}


def sharded(**options: Any) -> dict[str, Any]:
    """Changes of a config that spread its model."""
    kind = 'mmtpr.FullyShardedDataParallel'
    return dict(model_wrapper_cfg=dict(type=kind, **options))


def build(config: Path, root: Path, name: str, **changes: Any) -> Runner:
    """Build the runner of a small config for several processes."""
    cfg = shrink_config(config, root / 'data')
    cfg.load_from = cfg.visualizer = cfg.param_scheduler = None
    cfg.work_dir = str(root / name)
    cfg.experiment_name = f'{config.stem}_{name}'
    cfg.train_cfg.max_epochs = 2
    # Large steps, but none where a gradient is nothing but rounding.
    cfg.optim_wrapper.optimizer.update(lr=0.01, eps=0.01)
    cfg.optim_wrapper.pop('paramwise_cfg', None)
    cfg.env_cfg.dist_cfg = dict(backend='gloo')
    cfg.launcher, cfg.randomness = 'pytorch', dict(seed=3)
    cfg.merge_from_dict(changes)
    launch.require_fit(cfg)
    launch.require_training_checks(cfg)
    launch.tidy(cfg)
    wrap_on_cpus(cfg)
    torch.manual_seed(5)
    return launch.build_runner(cfg)


def run(config: Path, root: Path, name: str, **changes: Any) -> None:
    """Train, validate after each epoch, test."""
    runner = build(config, root, name, **changes)
    runner.train()
    values, _ = runner.message_hub.get_scalar('val/mAP').data
    losses, _ = runner.message_hub.get_scalar('train/loss').data
    numbers = dict(losses=losses.tolist(), val=values.tolist())
    numbers['test'] = runner.test()
    if runner.rank == 0:
        (root / name / 'metrics.json').write_text(json.dumps(numbers))


def main(rank: str, world: str, folder: str, *only: str) -> None:
    root = join(rank, world, folder)
    aptm, blip2 = CONFIGS / 'wora_aptm_cuhk.py', CONFIGS / FAFA
    rde = CONFIGS / 'wora_rde_cuhk.py'
    last = str(root / 'sharded/epoch_1.pth')
    again, low = dict(resume=True, load_from=last), dict(param_dtype=BFLOAT16)
    runs: dict[str, tuple] = dict(
        ddp=(aptm, PARTS),
        sharded=(aptm, sharded() | PARTS),
        resumed=(aptm, sharded() | PARTS | again),
        rde_ddp=(rde, RECOMPUTE | SHORT),
        rde_sharded=(rde, sharded() | RECOMPUTE | SHORT),
        bfloat16=(aptm, sharded(**low) | PARTS | SHORT | FP16),
        blip2_ddp=(blip2, SHORT),
        blip2_sharded=(blip2, sharded() | SHORT),
        blip2_offloaded=(blip2, sharded(cpu_offload=True) | SHORT),
    )
    for name in only or runs:
        config, changes = runs[name]
        run(config, root, name, **changes)
    leave()


if __name__ == '__main__':
    main(*sys.argv[1:])
