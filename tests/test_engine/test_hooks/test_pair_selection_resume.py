"""Marks of a run that goes on, and of persistent workers."""

import pytest
import torch
from selection_runs import build, by_epoch, selection_cfg, train, write_pairs
from toy_parts import assert_same

from mmtpr.engine.resume import find_resume_checkpoint


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp('pairs'))


def last_state(folder):
    return torch.load(find_resume_checkpoint(folder), weights_only=True)


@pytest.mark.parametrize(
    ('kwargs', 'stop_at', 'resumed'),
    [
        ({}, 13, 'epoch_1.pth'),
        (
            dict(
                selection=dict(start=1, interval=3),
                epochs=4,
                hooks=[dict(type='EMAHook')],
            ),
            31,  # in the fourth epoch, whose classes are of the second
            'epoch_3.pth',
        ),
        (dict(iters=16, selection=dict(start=2, interval=5)), 15, 'iter_12'),
        (dict(iters=16, selection=dict(start=4)), 14, 'iter_12'),
    ],
)
def test_exact_resume(data, tmp_path, kwargs, stop_at, resumed):
    straight = train(data, tmp_path / 'a', **kwargs)
    killed = train(data, tmp_path / 'b', stop_at=stop_at, **kwargs)
    assert resumed in find_resume_checkpoint(tmp_path / 'b')
    went_on = train(data, tmp_path / 'b', resume=True, **kwargs)
    first = len(straight.marks) - len(went_on.marks)
    assert 0 < first < stop_at
    assert straight.marks[first:] == went_on.marks
    assert straight.marks[: len(killed.marks)] == killed.marks
    a, b = last_state(tmp_path / 'a'), last_state(tmp_path / 'b')
    for key in ('state_dict', 'optimizer', 'pair_selection'):
        assert_same(a[key], b[key], key)


@pytest.mark.parametrize('workers', [1, 2])
def test_persistent_workers(data, tmp_path, workers):
    """What a worker read lies behind; marks are of the epoch at hand."""
    loader = dict(
        num_workers=workers, persistent_workers=True, prefetch_factor=4
    )
    cfg = selection_cfg(data, tmp_path / 'kept', loader=loader, lr=0.0)
    cfg['default_hooks']['randomness']['restart_workers'] = False
    cfg['default_hooks']['checkpoint'] = None
    kept = build(cfg)
    kept.train()
    alone = train(data, tmp_path / 'alone', lr=0.0)
    marks = by_epoch(kept)
    assert marks == by_epoch(alone)
    assert marks[0] != marks[1]
    assert marks[1] != marks[2]
