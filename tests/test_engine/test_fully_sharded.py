"""A model spread over two processes trains as with DDP."""

from pathlib import Path

import pytest
import torch
from mmengine.hooks import EMAHook

from mmtpr.engine import RerankValLoop
from mmtpr.engine.fully_sharded import _units
from mmtpr.engine.sharded_checkpoints import check_parts
from mmtpr.utils.errors import LaunchError

WORKER = Path(__file__).parents[1] / 'helpers/fully_sharded_worker.py'


@pytest.fixture(scope='module')
def runs(run_together, tmp_path_factory):
    folder = tmp_path_factory.mktemp('runs')
    run_together(*([WORKER, rank, 2, folder] for rank in range(2)))
    return lambda name: torch.load(folder / name, weights_only=True)


def same(one, other, **tolerance):
    assert list(one) == list(other)
    for key, value in one.items():
        torch.testing.assert_close(
            other[key],
            value,
            msg=lambda text, key=key: f'{key}: {text}',
            **(tolerance or dict(atol=0, rtol=0)),
        )


@pytest.mark.dist
def test_three_steps_are_those_of_ddp(runs):
    """Frozen and trained parameters in one unit, a scalar, clipped."""
    ddp, sharded = runs('ddp/iter_3.pth'), runs('sharded/iter_3.pth')
    close = dict(atol=1e-5, rtol=1e-5)
    same(ddp['state_dict'], sharded['state_dict'], **close)
    moments = [c['optimizer']['state'] for c in (ddp, sharded)]
    assert list(moments[0]) == list(moments[1])
    for number, state in moments[0].items():
        same(state, moments[1][number], **close)
    groups = [c['optimizer']['param_groups'] for c in (ddp, sharded)]
    assert groups[0] == groups[1]
    features = [runs(f'{name}/features.pt') for name in ('ddp', 'sharded')]
    torch.testing.assert_close(*features, atol=1e-4, rtol=1e-4)


@pytest.mark.dist
def test_the_temperature_trains(runs):
    weights = runs('sharded/iter_3.pth')['state_dict']
    assert weights['logit_scale'].shape == ()
    assert abs(weights['logit_scale'].exp() - 50) > 0.1


@pytest.mark.dist
def test_a_resumed_run_is_exact(runs):
    once, twice = runs('long/iter_6.pth'), runs('resumed/iter_6.pth')
    same(once['state_dict'], twice['state_dict'])
    for number, state in once['optimizer']['state'].items():
        same(state, twice['optimizer']['state'][number])


@pytest.mark.dist
def test_a_run_of_ddp_goes_on_sharded(runs):
    same(
        runs('long/iter_6.pth')['state_dict'],
        runs('from_ddp/iter_6.pth')['state_dict'],
        atol=5e-5,
        rtol=5e-5,
    )


@pytest.mark.dist
def test_the_adapter_file_is_that_of_the_checkpoint(runs):
    small = runs('sharded/adapter_iter_3.pth')['state_dict']
    whole = runs('sharded/iter_3.pth')['state_dict']
    assert any(key.endswith('.lora_B') for key in small)
    same(small, {key: whole[key] for key in small})


@pytest.mark.dist
def test_float32_adapters_on_a_bfloat16_base(runs):
    ddp, sharded = runs('mixed_ddp.pt'), runs('mixed_sharded.pt')
    assert all(grad.dtype == torch.float32 for grad in sharded.values())
    assert all(grad.any() for grad in sharded.values())
    same(ddp, sharded, atol=1e-5, rtol=1e-5)


def test_what_cannot_work_is_refused():
    with pytest.raises(LaunchError, match='EMAHook'):
        check_parts([EMAHook()], [])
    loop = RerankValLoop.__new__(RerankValLoop)
    with pytest.raises(LaunchError, match='RerankValLoop'):
        check_parts([], [loop, None])
    check_parts([], [None, dict(type='TestLoop')])


def test_units_that_match_nothing_are_named():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2))
    assert _units(model, ['0']) == [model[0]]
    assert _units(model, None) == []
    with pytest.raises(LaunchError, match='blocks'):
        _units(model, ['0', r'blocks\.\d'])
