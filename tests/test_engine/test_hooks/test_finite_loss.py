import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from toy_parts import toy_config

from mmtpr.engine import StopOnNonFiniteLossHook
from mmtpr.utils.errors import NonFiniteLossError


def train(tmp_path, interval, bad_at):
    cfg = toy_config(
        tmp_path, model=dict(type='DropoutRegression', bad_at=bad_at)
    )
    cfg['default_hooks']['finite_loss']['interval'] = interval
    with pytest.raises(NonFiniteLossError) as error:
        Runner.from_cfg(Config(cfg)).train()
    return str(error.value)


def test_stops_and_names_iteration_and_losses(tmp_path):
    message = train(tmp_path, interval=1, bad_at=6)
    assert 'epoch 2, iteration 6 (process 0)' in message
    assert 'loss=nan, loss_fit=nan, loss_size=0.0' in message
    assert f'"{tmp_path}/epoch_1.pth", is intact' in message
    saved = torch.load(tmp_path / 'epoch_1.pth', weights_only=True)
    assert all(v.isfinite().all() for v in saved['state_dict'].values())


def test_no_checkpoint_of_spoiled_weights(tmp_path):
    """Iteration 4 ends the first epoch and is not checked itself."""
    message = train(tmp_path, interval=3, bad_at=4)
    assert 'Non-finite weights at epoch 1' in message
    assert 'nothing was saved: 4 of 4 trainable parameters' in message
    assert '"net.0.weight"' in message
    assert 'No checkpoint has been written yet' in message
    assert not list(tmp_path.glob('*.pth'))


def test_outputs_without_losses_pass(tmp_path):
    hook = StopOnNonFiniteLossHook()
    runner = type('Runner', (), dict(iter=0))()
    hook.after_train_iter(runner, 0, outputs=None)
    hook.after_train_iter(runner, 0, outputs=dict(count=torch.tensor(3)))
    with pytest.raises(ValueError, match='interval must be >= 0, got -1'):
        StopOnNonFiniteLossHook(interval=-1)
