import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from toy_parts import DropoutRegression, toy_config

from mmtpr.engine import AdapterCheckpointHook, AdapterStatsHook
from mmtpr.models.adapters import (
    load_adapter_state_dict,
    load_trainable_state_dict,
)

WORA = dict(type='WoRA', rank=2, alpha=8.0, beta=1.0)


def train(tmp_path, adapter=WORA, ema=False, **hook):
    """Three epochs of four iterations with both hooks; the runner."""
    cfg = toy_config(
        tmp_path, model=dict(type='DropoutRegression', adapter=adapter)
    )
    cfg['default_hooks'].update(
        stats=dict(type='mmtpr.AdapterStatsHook', interval=2),
        adapter=dict(type='mmtpr.AdapterCheckpointHook', **hook),
    )
    if ema:
        cfg['custom_hooks'] = [dict(type='EMAHook', momentum=0.5)]
    runner = Runner.from_cfg(Config(cfg))
    lines = []
    runner.logger.info = lambda text, *_: lines.append(text)
    runner.train()
    return runner, lines


def names(folder):
    return sorted(p.name for p in folder.glob('adapter_*'))


def test_files_and_statistics(tmp_path):
    runner, lines = train(tmp_path, content='adapter')
    # 4x16 + 16 + 16 + 1 frozen or biased, (2x4 + 16x2) + 4 + 1 + 1 adapters
    assert 'Parameters: 47 of 143 train (32.9 %); 1 adapted weights.' in lines
    log = runner.message_hub.log_scalars
    alpha, beta = log['train/alpha_mean'], log['train/beta_max']
    assert len(alpha.data[0]) == 6
    weight = runner.model.net[0]
    assert alpha.current() == pytest.approx(weight.alpha.item())
    assert beta.current() == pytest.approx(weight.beta.item())
    assert alpha.current() != 8.0

    assert 'adapter_epoch_3.pth' in names(tmp_path)
    assert 'adapter_epoch_2.pth' not in names(tmp_path)
    saved = torch.load(tmp_path / 'adapter_epoch_3.pth', weights_only=True)
    assert (saved['meta']['epoch'], saved['meta']['content']) == (3, 'adapter')
    assert saved['meta']['lacks'] == dict(count=1, keys=['net.2.bias'])
    assert {k.rpartition('.')[0] for k in saved['state_dict']} == {'net.0'}
    fresh = DropoutRegression(adapter=WORA)
    load_adapter_state_dict(fresh, saved['state_dict'])
    assert fresh.net[0].lora_B.equal(weight.lora_B)
    size = (tmp_path / 'adapter_epoch_3.pth').stat().st_size
    assert size < (tmp_path / 'epoch_3.pth').stat().st_size


def test_best_file_belongs_to_the_best_checkpoint(tmp_path):
    """By default all that trains is in it, here a bias beside the adapters."""
    train(tmp_path, max_keep_ckpts=-1)
    assert names(tmp_path) == [
        'adapter_best.pth',
        *(f'adapter_epoch_{n}.pth' for n in (1, 2, 3)),
    ]
    (best,) = tmp_path.glob('best_*.pth')
    best = torch.load(best, weights_only=True)
    saved = torch.load(tmp_path / 'adapter_best.pth', weights_only=True)
    assert saved['meta']['epoch'] == best['meta']['epoch']
    assert 'net.2.bias' in saved['state_dict']
    assert 'net.2.weight' not in saved['state_dict']
    assert saved['meta']['content'] == 'trainable'
    assert 'lacks' not in saved['meta']
    for key, value in saved['state_dict'].items():
        assert value.equal(best['state_dict'][key])
    load_trainable_state_dict(
        DropoutRegression(adapter=WORA), saved['state_dict']
    )


def test_averaged_adapters_under_ema(tmp_path):
    train(tmp_path, ema=True, content='trainable')
    full = torch.load(tmp_path / 'epoch_3.pth', weights_only=True)
    saved = torch.load(tmp_path / 'adapter_epoch_3.pth', weights_only=True)
    averaged, last = full['state_dict'], full['ema_state_dict']
    for key, value in saved['state_dict'].items():
        assert value.equal(averaged[key])
    assert not saved['state_dict']['net.0.lora_B'].equal(
        last['module.net.0.lora_B']
    )


def test_a_model_without_adapters(tmp_path):
    runner, lines = train(tmp_path, adapter=None)
    assert 'AdapterCheckpointHook: the model has no adapters.' in lines
    assert 'Parameters: 97 of 97 train (100 %); 0 adapted weights.' in lines
    assert names(tmp_path) == []
    assert 'train/alpha_mean' not in runner.message_hub.log_scalars


def test_bad_arguments():
    with pytest.raises(ValueError, match='content must be one of'):
        AdapterCheckpointHook(content='all')
    with pytest.raises(ValueError, match='interval must be >= 0'):
        AdapterStatsHook(interval=-1)
