from enum import IntEnum
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OneCycleLR
from mmengine.runner import Runner
from toy_parts import toy_config

from mmtpr.engine import PlainCheckpointHook


@pytest.fixture
def only_torchs_own_globals(monkeypatch):
    """A process in which nobody has allowed anything."""
    monkeypatch.setattr(
        torch._weights_only_unpickler, '_marked_safe_globals_set', set()
    )


@pytest.mark.smoke
def test_plain_file_of_a_real_run(tmp_path, only_torchs_own_globals):
    cfg = toy_config(tmp_path)
    cfg['default_hooks']['checkpoint']['max_keep_ckpts'] = 3
    runner = Runner.from_cfg(Config(cfg))
    runner.train()
    for name in ('epoch_1.pth', 'epoch_3.pth', 'last_checkpoint'):
        assert (tmp_path / name).is_file()
    saved = torch.load(tmp_path / 'epoch_3.pth', weights_only=True)
    hub = saved['message_hub']
    assert hub['log_scalars'] == {}
    info = hub['runtime_info']
    assert type(info['best_score']) is float
    assert Path(info['best_ckpt']).is_file()
    assert (info['epoch'], info['iter']) == (2, 11)
    assert set(hub['resumed_keys']) == set(info)
    # arrays of the dataset's metainfo as lists
    assert saved['meta']['dataset_meta']['palette'] == [0, 1, 2]
    assert (saved['meta']['epoch'], saved['meta']['iter']) == (3, 12)
    # the running process keeps its log
    assert runner.message_hub.log_scalars['train/loss'].data[0].size == 12


def test_without_it_the_file_is_refused(tmp_path, only_torchs_own_globals):
    cfg = toy_config(tmp_path)
    cfg['default_hooks'].pop('plain_checkpoint')
    cfg['train_cfg']['max_epochs'] = 1
    Runner.from_cfg(Config(cfg)).train()
    with pytest.raises(Exception, match=r'weights_only|HistoryBuffer'):
        torch.load(tmp_path / 'epoch_1.pth', weights_only=True)


class Colour(IntEnum):
    RED = 1


RUNNER = SimpleNamespace(model=torch.nn.Linear(1, 1), cfg={})


def test_what_has_no_plain_form(monkeypatch):
    texts = []
    monkeypatch.setattr(
        'mmtpr.engine.hooks.plain_checkpoint.warn',
        lambda text, **_: texts.append(text),
    )
    hook = PlainCheckpointHook()
    checkpoint = dict(
        state_dict=dict(w=torch.ones(1)),
        message_hub=dict(
            log_scalars=dict(a=object()),
            runtime_info=dict(
                good=np.float32(2),
                bad=object(),
                path=Path('x'),
                enum=Colour.RED,
            ),
            resumed_keys=dict(good=True, bad=True, a=True),
        ),
        meta=dict(epoch=np.int64(3), odd=dict(x=[1, object()])),
        optimizer=dict(param_groups=[dict(lr=np.float64(0.5))]),
    )
    hook.before_save_checkpoint(RUNNER, checkpoint)
    info = checkpoint['message_hub']['runtime_info']
    assert info == dict(good=2.0, path='x', enum=1)
    assert [type(v) for v in info.values()] == [float, str, int]
    assert checkpoint['message_hub']['resumed_keys'] == dict(good=True)
    assert checkpoint['meta'] == dict(epoch=3)
    assert type(checkpoint['optimizer']['param_groups'][0]['lr']) is float
    assert len(texts) == 2
    assert texts[0].startswith('"message_hub[\'bad\']" is not saved: it holds')
    assert texts[1].startswith('"meta[\'odd\']" is not saved')
    assert "object in ['x'][1]" in texts[1]

    with pytest.raises(TypeError, match='"optimizer" cannot be saved safely'):
        hook.before_save_checkpoint(RUNNER, dict(optimizer=dict(x=object())))


def test_one_cycle_is_saved_and_goes_on(tmp_path):
    def schedule():
        weight = torch.nn.Parameter(torch.zeros(1))
        optimizer = torch.optim.SGD([weight], lr=0.1)
        return OneCycleLR(
            optimizer, eta_max=1.0, total_steps=20, verbose=False
        )

    first, second = schedule(), schedule()
    for _ in range(7):
        first.step()
    checkpoint = dict(param_schedulers=[first.state_dict()])
    PlainCheckpointHook().before_save_checkpoint(RUNNER, checkpoint)
    torch.save(checkpoint, tmp_path / 'x.pth')
    loaded = torch.load(tmp_path / 'x.pth', weights_only=True)
    second.load_state_dict(loaded['param_schedulers'][0])
    for _ in range(5):
        first.step()
        second.step()
        assert second.get_last_value() == first.get_last_value()
