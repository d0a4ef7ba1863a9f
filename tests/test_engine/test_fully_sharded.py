"""A model spread over two processes trains as with DDP."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import EMAHook
from mmengine.model import MMFullyShardedDataParallel

from mmtpr.engine import (
    CompileHook,
    FullyShardedDataParallel,
    RerankValLoop,
)
from mmtpr.engine.fully_sharded import _units
from mmtpr.engine.launch import build_runner
from mmtpr.engine.sharded_checkpoints import check_parts
from mmtpr.registry import MODELS
from mmtpr.testing import tiny_encoder_cfg
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
    model = FullyShardedDataParallel.__new__(FullyShardedDataParallel)
    torch.nn.Module.__init__(model)
    model.param_dtype = None
    with pytest.raises(LaunchError, match='EMAHook'):
        check_parts(model, [EMAHook()], [])
    with pytest.raises(LaunchError, match='Take compile'):
        check_parts(model, [CompileHook()], [])
    loop = RerankValLoop.__new__(RerankValLoop)
    loop.fp16 = False
    loops = [loop, None, dict(type='TestLoop')]
    check_parts(model, [], loops)
    model.param_dtype = torch.bfloat16
    with pytest.raises(
        LaunchError, match=r'RerankValLoop .* fp16=True to val'
    ):
        check_parts(model, [], loops)
    loop.fp16 = True
    check_parts(model, [], loops)


def test_units_that_match_nothing_are_named():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2))
    assert _units(model, ['0']) == [model[0]]
    assert _units(model, None) == []
    with pytest.raises(LaunchError, match='blocks'):
        _units(model, ['0', r'blocks\.\d'])


@pytest.mark.parametrize(
    'asked',
    [
        dict(
            runner_type='FlexibleRunner',
            strategy=dict(type='FSDPStrategy', state_dict_cfg='full'),
        ),
        dict(
            model_wrapper_cfg=dict(type='mmengine.MMFullyShardedDataParallel')
        ),
    ],
)
def test_fsdp1_is_refused(asked):
    with pytest.raises(LaunchError, match=r'mmtpr\.FullyShardedDataParallel'):
        build_runner(Config(asked))


def test_fsdp1_still_refuses_temperatures(tmp_path):
    """Why: if this fails, torch or mmengine can do it now."""
    model = MODELS.build(tiny_encoder_cfg())
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{tmp_path}/store', rank=0, world_size=1
    )
    try:
        options = dict(module=model, device_id=torch.device('cpu'))
        with pytest.raises(ValueError, match='scalar'):
            MMFullyShardedDataParallel(**options)
        with pytest.raises(TypeError, match='ignored_parameters'):
            MMFullyShardedDataParallel(
                **options, ignored_parameters=['clip.logit_scale']
            )
    finally:
        torch.distributed.destroy_process_group()
