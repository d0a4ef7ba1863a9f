"""Weights kept at shares of a training."""

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from toy_parts import toy_config

from mmtpr.engine import ShareCheckpointHook


def train(folder, **changes):
    cfg = toy_config(folder, val_cfg=None)
    cfg.update(val_dataloader=None, val_evaluator=None)
    hook = dict(type='mmtpr.ShareCheckpointHook', shares=[0.2, 0.5, 0.67])
    cfg['custom_hooks'] = [*cfg.get('custom_hooks', []), hook]
    cfg.update(changes)
    runner = Runner.from_cfg(Config(cfg))
    runner.train()
    return runner


def test_weights_of_these_iterations_are_kept(tmp_path):
    runner = train(tmp_path)
    total = runner.max_iters
    names = sorted(p.name for p in tmp_path.glob('share_*.pth'))
    assert names == ['share_020.pth', 'share_050.pth', 'share_067.pth']
    iterations = []
    for name in names:
        # Plain enough to load without pickle, and without an optimizer.
        saved = torch.load(tmp_path / name, weights_only=True)
        assert 'optimizer' not in saved
        iterations.append(saved['meta']['iter'])
    wanted = [-(-total * p // 100) for p in (20, 50, 67)]
    assert iterations == wanted
    first, last = (
        torch.load(tmp_path / name, weights_only=True)['state_dict']
        for name in names[::2]
    )
    assert any(not torch.equal(first[k], last[k]) for k in first)


def test_training_is_the_same_with_the_hook(tmp_path):
    with_hook = train(tmp_path / 'a').model.state_dict()
    without = train(tmp_path / 'b', custom_hooks=[]).model.state_dict()
    plain = toy_config(tmp_path / 'c').get('custom_hooks', [])
    if plain:
        without = train(tmp_path / 'c', custom_hooks=plain).model.state_dict()
    assert all(torch.equal(with_hook[k], without[k]) for k in without)


@pytest.mark.parametrize('shares', [[0.0], [1.0], [], [0.2, -1]])
def test_shares_out_of_range(shares):
    with pytest.raises(ValueError, match='needs shares above 0 and below 1'):
        ShareCheckpointHook(shares)


def test_shares_that_cannot_be_told_apart(tmp_path):
    with pytest.raises(ValueError, match='whole percents, and two of'):
        ShareCheckpointHook([0.2, 0.201])
    hook = dict(
        type='mmtpr.ShareCheckpointHook', shares=[i / 50 for i in range(1, 50)]
    )
    with pytest.raises(ValueError, match=r'cannot tell 49 shares apart in \d'):
        train(tmp_path, custom_hooks=[hook])
