"""A run that is stopped and resumed equals one that never stopped."""

import gc
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import FUNCTIONS
from mmengine.runner import Runner
from torch.utils.data import _utils as data_utils
from toy_parts import assert_same, toy_config

from mmtpr.engine.resume import find_resume_checkpoint


@pytest.fixture(autouse=True)
def _end_workers_soon(monkeypatch):
    """Workers of an infinite sampler are waited for, 5 s each."""
    monkeypatch.setattr(data_utils, 'MP_STATUS_CHECK_INTERVAL', 0.2)
    yield
    gc.collect()


def run(cfg, stop_at=None, resume=False):
    if stop_at:
        cfg['custom_hooks'] = [
            *cfg.get('custom_hooks', []),
            dict(type='KillHook', at=stop_at),
        ]
    if resume:
        path = find_resume_checkpoint(cfg['work_dir'])
        cfg.update(resume=True, load_from=path)
    runner = Runner.from_cfg(Config(cfg))
    if stop_at:
        with pytest.raises(KeyboardInterrupt):
            runner.train()
        return None
    runner.train()
    return runner


def final_state(work_dir):
    path = find_resume_checkpoint(work_dir)
    return path, torch.load(path, weights_only=True)


STATES = ('state_dict', 'optimizer', 'param_schedulers')
EMA = [dict(type='EMAHook')]


@pytest.mark.smoke
@pytest.mark.parametrize(
    ('workers', 'extra'),
    [
        (0, {}),
        (2, dict(custom_hooks=EMA)),
        # no seed in the config: the checkpoint's comes back
        (0, dict(randomness=dict(seed=None))),
        (0, dict(randomness=dict(seed=5, diff_rank_seed=True))),
    ],
)
def test_epoch_loop(tmp_path, workers, extra):
    straight = run(toy_config(tmp_path / 'a', workers, **extra))
    if extra.get('randomness', {}).get('seed', 0) is None:
        # the two runs have to share the seed that the first one drew
        extra = dict(randomness=dict(seed=straight.seed))
        run(toy_config(tmp_path / 'b', workers, **extra), stop_at=7)
        extra = dict(randomness=dict(seed=None))
    else:
        run(toy_config(tmp_path / 'b', workers, **extra), stop_at=7)
    assert find_resume_checkpoint(tmp_path / 'b').endswith('epoch_1.pth')
    run(toy_config(tmp_path / 'b', workers, **extra), resume=True)
    name_a, a = final_state(tmp_path / 'a')
    name_b, b = final_state(tmp_path / 'b')
    assert Path(name_a).name == Path(name_b).name == 'epoch_3.pth'
    states = (*STATES, 'ema_state_dict') if workers else STATES
    for key in states:
        assert_same(a[key], b[key], key)
    score = 'best_score'
    info_a, info_b = (s['message_hub']['runtime_info'] for s in (a, b))
    assert info_a[score] == info_b[score]


@pytest.mark.parametrize('workers', [0, 2])
def test_iteration_loop(tmp_path, workers):
    run(toy_config(tmp_path / 'a', workers, iters=10))
    run(toy_config(tmp_path / 'b', workers, iters=10), stop_at=7)
    assert find_resume_checkpoint(tmp_path / 'b').endswith('iter_5.pth')
    run(toy_config(tmp_path / 'b', workers, iters=10), resume=True)
    a, b = (final_state(tmp_path / x)[1] for x in 'ab')
    for key in STATES:
        assert_same(a[key], b[key], key)


def test_without_the_hook_it_differs(tmp_path):
    """What the hook cures, or the tests above would prove nothing."""

    def config(name):
        cfg = toy_config(tmp_path / name)
        cfg['default_hooks'].pop('randomness')
        return cfg

    run(config('a'))
    run(config('b'), stop_at=7)
    run(config('b'), resume=True)
    a, b = (final_state(tmp_path / x)[1]['state_dict'] for x in 'ab')
    assert not torch.equal(a['net.0.weight'], b['net.0.weight'])


def batches(tmp_path, **loader):
    """Inputs of three epochs as the loop sees them."""
    cfg = toy_config(tmp_path, num_workers=1, val_cfg=None)
    cfg.update(val_dataloader=None, val_evaluator=None)
    cfg['train_dataloader'].update(loader)
    cfg['train_dataloader']['sampler']['shuffle'] = False
    runner = Runner.from_cfg(Config(cfg))
    seen = []
    step = runner.model.train_step

    def record(data, optim_wrapper):
        seen.append(torch.stack(list(data['inputs'])))
        return step(data, optim_wrapper)

    runner.model.train_step = record
    runner.train()
    return torch.stack(seen).reshape(3, 12, 4)


def test_workers_draw_anew_in_every_epoch(tmp_path):
    plain = batches(tmp_path / 'a')
    assert torch.equal(plain[0, :, 0], plain[1, :, 0])
    for source in (1, 2, 3):
        assert not torch.isin(plain[0, :, source], plain[1, :, source]).any()
    restarted = batches(tmp_path / 'b', persistent_workers=True)
    assert torch.equal(plain, restarted)


def test_user_worker_init_fn_is_kept(tmp_path):
    calls = torch.zeros(1).share_memory_()

    def count(worker_id):
        calls.add_(1)

    FUNCTIONS.register_module('CountWorkers', force=True, module=count)
    batches(tmp_path, worker_init_fn=dict(type='CountWorkers'))
    assert calls.item() == 3


def test_kept_persistent_workers_are_announced(tmp_path, monkeypatch):
    texts = []
    monkeypatch.setattr(
        'mmtpr.engine.hooks.randomness.warn',
        lambda text, **_: texts.append(text),
    )
    cfg = toy_config(tmp_path, num_workers=1)
    cfg['train_dataloader']['persistent_workers'] = True
    cfg['train_cfg']['max_epochs'] = 1
    cfg['default_hooks']['randomness']['restart_workers'] = False
    run(cfg)
    assert len(texts) == 1
    assert 'a resumed run differs' in texts[0]
