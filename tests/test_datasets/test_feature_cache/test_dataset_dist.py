"""A feature cache that one of two processes makes."""

import json
from pathlib import Path

import pytest

from mmtpr.datasets import CachedFeatureDataset
from mmtpr.datasets.feature_cache import dataset as module
from mmtpr.testing import write_tiny_cuhk

ROOT = Path(__file__).resolve().parents[3]

WORKER = ROOT / 'tests/helpers/cached_features_worker.py'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('cached')


@pytest.fixture(scope='module')
def found(run_together, folder):
    """All cases in one pair of processes: to start one is what takes long."""
    write_tiny_cuhk(folder / 'data', num_ids=(2, 1, 1))
    run_together(*([WORKER, rank, folder] for rank in range(2)))
    one, two = (
        json.loads((folder / f'{rank}.json').read_text()) for rank in range(2)
    )
    return {case: (one[case], two[case]) for case in one}


@pytest.mark.dist
def test_encoding_may_take_longer_than_the_group_waits(found):
    one, two = found['shared']
    assert one == two
    assert one['length'] == 8


@pytest.mark.dist
def test_a_node_that_does_not_see_the_cache_says_so(found, folder):
    one, two = found['unshared']
    assert one['length'] == 8
    assert two['error'].startswith(
        f'FileNotFoundError: The feature cache "{folder}/unshared/cache1" was '
        'made on'
    )
    assert two['error'].endswith('with cache that all nodes share.')


@pytest.mark.dist
def test_all_learn_of_a_failure(found, folder):
    one, two = found['fails']
    assert one['error'].startswith('ValueError: The pipeline of Cached')
    assert (
        two['error']
        == f'RuntimeError: The main process failed: {one["error"]}'
    )
    assert not (folder / 'fails/cache').exists()


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def other_node(monkeypatch):
    """The dataset in a process that looks for a cache, and its clock."""
    clock = Clock()
    monkeypatch.setattr(module, 'time', clock)
    monkeypatch.setattr(module, 'get_rank', lambda: 1)
    dataset = CachedFeatureDataset.__new__(CachedFeatureDataset)
    dataset.cache = 'somewhere'
    return dataset, clock


def test_a_disk_may_take_its_time_to_show_the_cache(other_node):
    dataset, clock = other_node
    dataset._sees = lambda meta: clock.now >= 1100
    dataset._find(dict(node='far'))
    assert clock.now == 1100


def test_but_not_for_ever(other_node):
    dataset, clock = other_node
    dataset._sees = lambda meta: False
    with pytest.raises(FileNotFoundError, match='was made on "far"'):
        dataset._find(dict(node='far'))
    assert 1120 < clock.now < 1125
