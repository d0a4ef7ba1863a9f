"""Batches with at most k triplets of one id."""

from collections import Counter

import numpy as np
import pytest
from mmengine.dataset import DefaultSampler
from mmengine.runner import Runner

from mmtpr.datasets.samplers import GroupBatchSampler
from mmtpr.datasets.samplers import group_batch_sampler as module


class Triplets:
    metainfo = {}

    def __init__(self, sizes):
        ids = np.repeat(np.arange(len(sizes)), sizes)
        self.ids = np.random.default_rng(0).permutation(ids)

    def __len__(self):
        return len(self.ids)

    def get_data_info(self, index):
        return dict(pid=int(self.ids[index]))

    def __getitem__(self, index):
        return int(self.ids[index])


def make(sizes, batch_size, k, seed=0, **kwargs):
    data = Triplets(sizes)
    sampler = DefaultSampler(data, shuffle=True, seed=seed)
    return data, GroupBatchSampler(sampler, batch_size, k, **kwargs)


SIZES = [
    [7] * 40,
    [1] * 50 + [3] * 10 + [30],
    [1, 2, 3, 4, 5, 200] * 4,
    np.random.default_rng(1).integers(1, 12, 60).tolist(),
]


@pytest.mark.parametrize('k', [1, 2, 3, 5])
@pytest.mark.parametrize('batch_size', [8, 12])
@pytest.mark.parametrize('sizes', SIZES)
def test_no_batch_has_more_than_k_of_an_id(sizes, batch_size, k):
    data, batches = make(sizes, batch_size, k)
    drawn = list(batches)
    assert len(drawn) == len(batches) > 0
    assert {len(batch) for batch in drawn} == {batch_size}
    flat = [index for batch in drawn for index in batch]
    assert len(set(flat)) == len(flat)
    for batch in drawn:
        assert max(Counter(data.ids[batch].tolist()).values()) <= k


def test_same_ids_meet():
    data, batches = make([7] * 2000, 20, 2)
    met = [20 - len(set(data.ids[batch].tolist())) for batch in batches]
    # Of ten blocks of two, six in seven hold one id; by chance none would.
    assert np.mean(met) > 7.5


def test_little_is_left_out():
    _, batches = make([6, 7, 5] * 100, 16, 2)
    assert len(batches) == 1800 // 16


def test_epochs_differ_and_repeat():
    _, batches = make([4] * 20, 8, 2)
    first = list(batches)
    assert list(batches) == first
    batches.sampler.set_epoch(1)
    assert list(batches) != first
    batches.sampler.set_epoch(0)
    assert list(batches) == first
    _, fixed = make([4] * 20, 8, 2, shuffle=False)
    again = list(fixed)
    fixed.sampler.set_epoch(3)
    assert list(fixed) == again


def test_processes_share_a_batch(monkeypatch):
    parts = []
    for rank in range(2):
        monkeypatch.setattr(module, 'get_dist_info', lambda r=rank: (r, 2))
        data, batches = make([7] * 30, 6, 3)
        parts.append(list(batches))
    assert len(parts[0]) == len(parts[1]) == 210 // 12
    for one, two in zip(*parts, strict=True):
        assert not set(one) & set(two)
        both = data.ids[one + two].tolist()
        assert max(Counter(both).values()) <= 3


def test_in_a_data_loader():
    loader = Runner.build_dataloader(
        dict(
            batch_size=4,
            num_workers=0,
            dataset=Triplets([3] * 8),
            sampler=dict(type='DefaultSampler', shuffle=True),
            batch_sampler=dict(type='mmtpr.GroupBatchSampler', max_per_id=2),
        ),
        seed=1,
    )
    assert len(loader) == 6
    assert all(len(batch) == 4 for batch in loader)


def test_wrong_use_is_explained():
    with pytest.raises(ValueError, match='do not fill a batch of 8'):
        make([9, 9], 8, 2)
    with pytest.raises(ValueError, match='max_per_id=0'):
        make([9, 9], 8, 0)
    with pytest.raises(ValueError, match='full batches'):
        make([9] * 9, 8, 2, drop_last=False)
    with pytest.raises(ValueError, match='key "cpr_id"'):
        make([9] * 9, 8, 2, id_key='cpr_id')
    with pytest.raises(ValueError, match='over list'):
        GroupBatchSampler(DefaultSampler([1, 2]), 1)
