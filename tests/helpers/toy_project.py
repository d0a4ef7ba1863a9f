"""A copy of the project in which a demo takes seconds."""

import re
import shutil
from pathlib import Path

import torch
from mmengine.config import Config

from mmtpr.registry import MODELS
from mmtpr.synthesis import (
    ComposedSettings,
    ToySettings,
    write_composed_toy_data,
    write_toy_data,
)

ROOT = Path(__file__).resolve().parents[2]
#: Options of the tool that draws the people of the demos.
FEW = '--size 64 32 --train 12 --val 4 --test 5'
_FEW = dict(size=(64, 32), train=12, val=4, test=5)


def shrink(path, pattern, text):
    """Replace what must be there in a file."""
    content, count = re.subn(pattern, text, path.read_text())
    assert count, f'{pattern} is not in {path}'
    path.write_text(content)


def copy_small_project(folder, *more):
    """Copy tools and configs, with little data, one epoch, small batches."""
    for name in ('configs', 'tools', *more):
        shutil.copytree(ROOT / name, folder / name)
    (folder / 'mmtpr').symlink_to(ROOT / 'mmtpr')
    shrink(
        folder / 'tools/demo.py',
        r"TOY_SIZE = '[^']*'",
        f"TOY_SIZE = '{FEW} --pretrain 20'",
    )
    shrink(
        folder / 'tools/demo_composed.py',
        r"COMPOSED_SIZE = '[^']*'",
        f"COMPOSED_SIZE = '{FEW}'",
    )
    toy = folder / 'configs/toy'
    for path in [*toy.glob('*.py'), *toy.glob('_base_/*.py')]:
        text = re.sub(r'batch_size=\d+', 'batch_size=16', path.read_text())
        pattern = r'max_epochs=\d+, val_interval=\d+'
        path.write_text(re.sub(pattern, 'max_epochs=1, val_interval=1', text))
    return folder


def leave_encoder(folder):
    """What tools/demo.py would leave: data, and an encoder trained later."""
    write_toy_data(folder / 'data/toy', ToySettings(**_FEW, pretrain=20))
    cfg = Config.fromfile(folder / 'configs/toy/pretrain_toy.py')
    state = MODELS.build(cfg.model).state_dict()
    for name in ('noisy_weights', 'filtered_weights'):
        path = folder / cfg[name]
        path.parent.mkdir(parents=True)
        torch.save(dict(state_dict=state, meta={}), path)


def leave_composed(folder):
    """Triplets and test sets that tools/demo_composed.py would draw."""
    write_composed_toy_data(
        folder / 'data/toy_composed', ComposedSettings(**_FEW)
    )
