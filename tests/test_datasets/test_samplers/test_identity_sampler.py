from collections import Counter

import numpy as np
import pytest
from mmengine.dataset import BaseDataset, ConcatDataset, RepeatDataset
from torch.utils.data import DataLoader

from mmtpr.datasets.samplers import identity_sampler
from mmtpr.registry import DATA_SAMPLERS

Sampler = identity_sampler.IdentitySampler


class Persons(BaseDataset):
    def __init__(self, sizes, **kwargs):
        self.sizes = sizes
        super().__init__(**kwargs)

    def load_data_list(self):
        pids = [p * 7 for p, n in enumerate(self.sizes) for _ in range(n)]
        np.random.default_rng(0).shuffle(pids)
        return [dict(pid=pid) for pid in pids]


def pids_of(dataset, indices):
    return [dataset.get_data_info(i)['pid'] for i in indices]


def at_rank(monkeypatch, rank, world):
    monkeypatch.setattr(
        identity_sampler, 'get_dist_info', lambda: (rank, world)
    )


def test_batches_hold_p_persons_k_times():
    data = Persons([9, 4, 6, 5, 8, 4, 2, 1])
    sampler = Sampler(data, num_pids=3, num_instances=4, seed=0)
    loader = DataLoader(
        range(len(data)), batch_size=12, sampler=sampler, drop_last=True
    )
    batches = [batch.tolist() for batch in loader]
    assert len(batches) * 12 == len(sampler)
    for batch in batches:
        counts = Counter(pids_of(data, batch))
        assert len(counts) == 3
        assert set(counts.values()) == {4}
        for pid in counts:
            mine = [i for i in batch if pids_of(data, [i]) == [pid]]
            available = data.sizes[pid // 7]
            assert len(set(mine)) == min(4, available)


def test_every_sample_is_seen_where_batches_come_out_even():
    data = Persons([5, 7, 3, 9, 6, 4])
    sampler = Sampler(data, num_pids=1, num_instances=4, seed=1)
    assert set(sampler) == set(range(len(data)))
    # ceil(n / 4) groups of 4 for each
    assert len(list(sampler)) == len(sampler) == 4 * (2 + 2 + 1 + 3 + 2 + 1)


def test_number_of_batches_is_the_most_possible():
    # one person with many samples cannot fill batches alone
    sampler = Sampler(Persons([100, 4, 4, 4]), 2, 2, seed=0)
    assert sampler.num_batches == 6
    assert Sampler(Persons([4, 4, 4, 4]), 2, 2, seed=0).num_batches == 4
    assert Sampler(Persons([2, 2, 2]), 2, 2, seed=0).num_batches == 1


@pytest.mark.parametrize('world', [2, 3])
def test_processes_are_disjoint_and_equally_long(monkeypatch, world):
    data = Persons([6, 9, 4, 7, 5, 8, 4, 6, 10, 3])
    streams = []
    for rank in range(world):
        at_rank(monkeypatch, rank, world)
        sampler = Sampler(data, num_pids=2, num_instances=3, seed=5)
        streams.append(np.array(list(sampler)).reshape(-1, 6))
        assert len(sampler) == streams[-1].size
    assert len({s.shape for s in streams}) == 1
    for step in zip(*streams, strict=True):
        persons = [set(pids_of(data, batch)) for batch in step]
        assert [len(p) for p in persons] == [2] * world
        assert len(set.union(*persons)) == 2 * world


def test_epochs_differ_and_seeds_repeat():
    data = Persons([8] * 12)

    def draw(seed, epoch, **kwargs):
        sampler = Sampler(data, 4, 2, seed=seed, **kwargs)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert draw(0, 0) == draw(0, 0)
    assert draw(0, 0) != draw(0, 1)
    assert draw(0, 0) != draw(1, 0)
    assert draw(0, 0, shuffle=False) == draw(1, 3, shuffle=False)
    assert sorted(draw(0, 1)) == list(range(96))


def test_left_out_groups_change_with_the_epoch():
    data = Persons([2] * 5)
    sampler = Sampler(data, num_pids=4, num_instances=2, seed=0)
    left = set()
    for epoch in range(40):
        sampler.set_epoch(epoch)
        left |= set(range(10)) - set(sampler)
    assert left == set(range(10))


def test_companions_change_with_the_epoch():
    data = Persons([2] * 8)
    sampler = Sampler(data, num_pids=2, num_instances=2, seed=0)
    pairs = set()
    for epoch in range(200):
        sampler.set_epoch(epoch)
        for batch in np.array(list(sampler)).reshape(-1, 4):
            pairs.add(frozenset(pids_of(data, batch)))
    assert len(pairs) == 8 * 7 // 2


def test_wrappers():
    data = Persons([4] * 6)
    repeated = RepeatDataset(data, times=2)
    sampler = Sampler(repeated, 3, 4, seed=0)
    assert set(sampler) == set(range(48))
    joined = ConcatDataset([data, Persons([2] * 3)])
    sampler = Sampler(joined, 3, 2, seed=0)
    counts = Counter(pids_of(joined, list(sampler)[:6]))
    assert set(counts.values()) == {2}


def test_built_by_the_runner_way():
    sampler = DATA_SAMPLERS.build(
        dict(type='mmtpr.IdentitySampler', num_pids=2, num_instances=2),
        default_args=dict(dataset=Persons([4] * 4), seed=3),
    )
    assert len(sampler) == 16


def test_too_few_identities(monkeypatch):
    with pytest.raises(ValueError, match='needs 4 identities') as caught:
        Sampler(Persons([4, 4, 4]), num_pids=4, num_instances=2, seed=0)
    assert 'the dataset has 3' in str(caught.value)
    at_rank(monkeypatch, 1, 2)
    with pytest.raises(ValueError, match=r'num_pids=2 in 2 processes'):
        Sampler(Persons([4, 4, 4]), num_pids=2, num_instances=2, seed=0)


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(num_pids=0, num_instances=2), 'must be at least 1'),
        (
            dict(num_pids=2, num_instances=2, batch_size=6),
            r'batch_size=6 must be num_pids \* num_instances = 2 \* 2',
        ),
    ],
)
def test_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        Sampler(Persons([4, 4]), seed=0, **kwargs)


def test_data_without_pids():
    with pytest.raises(TypeError, match='with get_data_info, got list'):
        Sampler([1, 2], 1, 1, seed=0)

    class NoPids(Persons):
        def load_data_list(self):
            return [dict(img_path='a')]

    with pytest.raises(ValueError, match='key "pid"; those of NoPids'):
        Sampler(NoPids([]), 1, 1, seed=0)
