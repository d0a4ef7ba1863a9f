"""Whole batches dealt to processes."""

import pytest
from mmengine.dataset import DefaultSampler
from torch.utils.data import RandomSampler, SequentialSampler

from mmtpr.datasets.samplers import WholeBatchSampler, whole_batch_sampler


def batches(monkeypatch, size, batch, rank=0, world=1):
    monkeypatch.setattr(
        whole_batch_sampler, 'get_dist_info', lambda: (rank, world)
    )
    sampler = DefaultSampler(range(size), shuffle=False)
    made = WholeBatchSampler(sampler, batch)
    found = list(made)
    assert len(made) == len(found)
    assert list(made) == found
    return found


@pytest.mark.parametrize('size', [1, 11, 12, 13])
@pytest.mark.parametrize('world', [2, 3, 7])
def test_batches_are_those_of_one_process(monkeypatch, size, world):
    whole = batches(monkeypatch, size, 4)
    assert [i for batch in whole for i in batch] == list(range(size))
    parts = [batches(monkeypatch, size, 4, r, world) for r in range(world)]
    for rank, own in enumerate(parts):
        assert own == whole[rank::world]


def test_torch_samplers():
    made = WholeBatchSampler(SequentialSampler(range(3)), 2)
    assert list(made) == [[0, 1], [2]]


def test_wrong_arguments():
    order = DefaultSampler(range(3), shuffle=False)
    with pytest.raises(ValueError, match='batch_size must be at least 1'):
        WholeBatchSampler(order, 0)
    with pytest.raises(ValueError, match='drop_last must be False'):
        WholeBatchSampler(order, 1, drop_last=True)
    with pytest.raises(ValueError, match='set shuffle=False'):
        WholeBatchSampler(DefaultSampler(range(3), shuffle=True), 1)
    with pytest.raises(ValueError, match='set shuffle=False'):
        WholeBatchSampler(RandomSampler(range(3)), 1)
    with pytest.raises(ValueError, match='cannot tell the dataset of a list'):
        WholeBatchSampler([1, 2], 1)
