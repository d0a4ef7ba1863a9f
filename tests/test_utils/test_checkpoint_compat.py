"""The allow-list for files of plain mmengine 0.10."""

import pickle

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub

from mmtpr.utils.compat import allow_mmengine_checkpoints


@pytest.fixture(autouse=True)
def _allowed():
    """As after import; onedl-mmengine forgets the list after a load."""
    allow_mmengine_checkpoints()


class Getattr:
    """Pickles as ``getattr(owner, name)``."""

    def __init__(self, owner, name):
        self.call = (owner, name)

    def __reduce__(self):
        return getattr, self.call


def test_message_hub_of_plain_mmengine_loads(tmp_path):
    hub = MessageHub('test_message_hub_of_plain_mmengine')
    for value in (1.0, 2.0, 4.0):
        hub.update_scalar('train/loss', value)
    hub.update_info('eta', np.float64(3.5))
    hub.update_info('count', np.int64(3))
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(message_hub=hub.state_dict()), path)
    with pytest.raises(pickle.UnpicklingError):
        load_strictly(path)
    loaded = torch.load(path, weights_only=True)['message_hub']
    buffer = loaded['log_scalars']['train/loss']
    assert isinstance(buffer, HistoryBuffer)
    assert buffer.data[0].tolist() == [1.0, 2.0, 4.0]
    assert buffer.statistics('max') == 4.0
    assert loaded['runtime_info'] == dict(eta=3.5, count=3)
    MessageHub('test_message_hub_of_plain_mmengine_2').load_state_dict(loaded)


def load_strictly(path):
    known = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    try:
        return torch.load(path, weights_only=True)
    finally:
        torch.serialization.add_safe_globals(known)


@pytest.mark.parametrize(
    ('owner', 'name'), [(dict, 'fromkeys'), (HistoryBuffer, '__init__')]
)
def test_getattr_is_not_for_everyone(tmp_path, owner, name):
    torch.serialization.add_safe_globals([dict])
    path = tmp_path / 'evil.pth'
    torch.save(dict(x=Getattr(owner, name)), path)
    with pytest.raises(Exception, match='which is not safe'):
        torch.load(path, weights_only=True)
