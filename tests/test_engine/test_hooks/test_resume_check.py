"""What a resumed run does not do is said."""

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from toy_parts import toy_config

from mmtpr.engine.hooks import resume_check
from mmtpr.engine.resume import warn_of_former_run
from mmtpr.utils.errors import LaunchError

STEPS = [dict(type='MultiStepLR', milestones=[1], by_epoch=True)]


def run(folder, epochs=2, resume=None, rate=None):
    cfg = toy_config(folder)
    cfg['train_cfg']['max_epochs'] = epochs
    cfg['param_scheduler'] = STEPS
    cfg['custom_hooks'] = [dict(type='mmtpr.ResumeCheckHook')]
    if rate:
        cfg['optim_wrapper']['optimizer']['lr'] = rate
    if resume:
        cfg.update(resume=True, load_from=str(resume))
    runner = Runner.from_cfg(Config(cfg))
    runner.train()
    return runner


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(resume_check, 'warn', lines.append)
    return lines


def test_changed_rates_and_nothing_left(tmp_path, said):
    run(tmp_path / 'a')
    assert said == []
    last = tmp_path / 'a/epoch_2.pth'
    run(tmp_path / 'b', 3, last)
    assert said == []
    run(tmp_path / 'c', 3, last, rate=0.5)
    (line,) = said
    assert line.startswith('optim_wrapper of the config differ')
    said.clear()
    runner = run(tmp_path / 'd', 2, last)
    (line,) = said
    assert line.startswith(f'Nothing is left to train: {runner.iter} iter')


@pytest.mark.parametrize('content', [dict(meta={}), dict()])
def test_weights_alone(tmp_path, content):
    runner = run(tmp_path / 'a')
    weights = dict(content, state_dict=runner.model.state_dict())
    torch.save(weights, tmp_path / 'w.pth')
    with pytest.raises(LaunchError, match='holds weights, but no state of a'):
        run(tmp_path / 'b', 3, tmp_path / 'w.pth')


def test_a_start_where_a_run_has_been(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr('mmtpr.engine.resume.warn', lines.append)
    warn_of_former_run(tmp_path)
    assert lines == []
    (tmp_path / 'best_mAP_epoch_1.pth').touch()
    warn_of_former_run(tmp_path)
    assert '1 checkpoints of an earlier run (best_mAP_epoch_1.pth)' in lines[0]
