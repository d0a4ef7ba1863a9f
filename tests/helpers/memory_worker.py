"""Estimates the memory of shrunk configs, in a process of its own.

Usage: python memory_worker.py FOLDER NAME...; writes FOLDER/found.json.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmtpr.testing.gpu_memory import estimate_memory
from mmtpr.utils.errors import LaunchError


def estimates(cfg: Config) -> dict:
    """Of two batches, and of the larger one in two parts."""
    found = {
        str(size): [asdict(step) for step in estimate_memory(cfg, size)]
        for size in (8, 32)
    }
    if 'Composed' not in cfg.model.type:
        cfg.model.accumulate = 2
    steps = estimate_memory(cfg, 32, ('float32',))
    found['parts'] = [asdict(step) for step in steps]
    return found


def refusal(cfg: dict) -> str:
    """Message where there is nothing to estimate."""
    try:
        estimate_memory(Config(cfg))
    except LaunchError as error:
        return str(error)
    return ''


def main() -> None:
    """Estimate all."""
    init_default_scope('mmtpr')
    folder, *names = sys.argv[1:]
    found: dict = {}
    for name in names:
        cfg = Config.fromfile(Path(folder) / f'{name}.py')
        found[name] = estimates(cfg)
    cached = dict(dataset=dict(type='mmtpr.CachedFeatureDataset'))
    found['refusals'] = [
        refusal(dict(model=dict())),
        refusal(dict(train_dataloader=cached, optim_wrapper=dict(a=1))),
    ]
    (Path(folder) / 'found.json').write_text(json.dumps(found))


if __name__ == '__main__':
    main()
