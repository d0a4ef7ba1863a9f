"""Trains a config on a pretended GPU in mixed precision, whole and in parts.

Usage: python accumulation_runner.py CONFIG FOLDER DTYPE; writes the losses of
both runs to FOLDER/losses.json.
"""

import json
import sys
from pathlib import Path

from mmengine.runner import Runner

from mmtpr.engine import launch
from mmtpr.testing import shrink_config, write_tiny_data
from mmtpr.testing.pretended_gpu import PretendedGPU


def losses(config: str, folder: str, dtype: str, parts: int) -> list[float]:
    """Train an epoch and give its losses."""
    data = write_tiny_data(Path(folder) / 'data', num_ids=(12, 2, 3))
    with PretendedGPU():
        cfg = shrink_config(config, data, batch_size=8)
        cfg.work_dir, cfg.load_from, cfg.visualizer = folder, None, None
        cfg.experiment_name = f'parts_{parts}'
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None
        cfg.default_hooks.checkpoint.save_best = None
        cfg.model.accumulate = parts
        cfg.model.losses = dict(itc=dict(type='mmtpr.ITCLoss'))
        cfg.optim_wrapper.dtype = dtype
        launch.enable_amp(cfg)
        runner = Runner.from_cfg(cfg)
        runner.train()
        scalars = runner.message_hub.log_scalars
        return [float(x) for x in scalars['train/loss_itc'].data[0]]


def main() -> None:
    """Train twice."""
    config, folder, dtype = sys.argv[1:]
    found = [losses(config, folder, dtype, parts) for parts in (1, 4)]
    (Path(folder) / 'losses.json').write_text(json.dumps(found))


if __name__ == '__main__':
    main()
