"""A small config of a run and tools called for the sentence they end with."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from mmtpr.registry import MODELS
from mmtpr.testing import (
    shrink_config,
    tiny_retriever_cfg,
    write_tiny_data,
)
from mmtpr.utils.errors import LaunchError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """A small config of a run, and a checkpoint of its model."""
    folder = tmp_path_factory.mktemp('faults')
    data = write_tiny_data(folder / 'data')
    cfg = shrink_config(ROOT / 'configs/irra_cuhk.py', data)
    cfg.model = tiny_retriever_cfg(num_classes=20)
    cfg.work_dir = str(folder / 'work')
    cfg.log_level = 'WARNING'
    cfg.dump(str(folder / 'config.py'))
    torch.manual_seed(3)
    state = MODELS.build(cfg.model).state_dict()
    torch.save(dict(state_dict=state, meta={}), folder / 'full.pth')
    return folder


@pytest.fixture
def tool(repo_root, monkeypatch):
    """Call a tool in this process; gives the sentence it ends with."""

    def call(name, *args):
        path = repo_root / 'tools' / f'{name}.py'
        spec = importlib.util.spec_from_file_location('_tool', path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, 'argv', [str(path), *map(str, args)])
        monkeypatch.setenv('LOCAL_RANK', '0')
        with pytest.raises((SystemExit, LaunchError)) as error:
            module.main()
        return str(error.value)

    return call
