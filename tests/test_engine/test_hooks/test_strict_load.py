import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from toy_parts import toy_config

from mmtpr.engine import StrictLoadHook
from mmtpr.utils.errors import LaunchError


def runner_of(tmp_path, state, *, model=None, resume=False, **options):
    """A runner that is about to load a file with these weights."""
    path = tmp_path / 'given.pth'
    content = dict(state_dict=state, message_hub={}, meta=dict(epoch=0))
    torch.save(content, path)
    cfg = toy_config(
        tmp_path / 'work',
        model=dict(type='DropoutRegression', **(model or {})),
        load_from=str(path),
        resume=resume,
        custom_hooks=[dict(type='mmtpr.StrictLoadHook', **options)],
        log_level='INFO',
    )
    return Runner.from_cfg(Config(cfg))


@pytest.fixture
def state(tmp_path):
    found = runner_of(tmp_path, {}).model.state_dict()
    return {name: torch.full_like(value, 3) for name, value in found.items()}


def refused(runner):
    """The message, and that the model is as it was."""
    before = {k: v.clone() for k, v in runner.model.state_dict().items()}
    with pytest.raises(LaunchError) as error:
        runner.load_or_resume()
    after = runner.model.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in before)
    return str(error.value)


def test_what_fits_is_loaded(tmp_path, state):
    runner = runner_of(tmp_path, state)
    runner.load_or_resume()
    assert all((v == 3).all() for v in runner.model.state_dict().values())
    # A wrapper's prefix is taken off by mmengine, so it does not count.
    wrapped = {f'module.{key}': value for key, value in state.items()}
    runner = runner_of(tmp_path, wrapped)
    runner.load_or_resume()
    assert all((v == 3).all() for v in runner.model.state_dict().values())


@pytest.mark.parametrize('resume', [False, True])
def test_a_missing_name_stops(tmp_path, state, resume):
    del state['net.2.bias']
    message = refused(runner_of(tmp_path, state, resume=resume))
    assert 'given.pth" does not fit the model' in message
    assert '1 missing key (net.2.bias)' in message
    assert 'Nothing was loaded' in message


def test_unknown_names_and_other_shapes_stop_with_one_message(tmp_path, state):
    state['net.7.weight'] = torch.ones(1)
    state['net.0.bias'] = torch.ones(15)
    message = refused(runner_of(tmp_path, state))
    assert '1 unexpected key (net.7.weight)' in message
    assert '1 mismatched key (net.0.bias (15,) for (16,))' in message


def test_names_that_were_told_may_differ(tmp_path, state):
    del state['net.2.bias']
    state['head.weight'] = torch.ones(1)
    told = dict(missing=[r'net\.2\..*'], unexpected=[r'head\..*'])
    runner = runner_of(tmp_path, state, **told)
    start = runner.model.net[2].bias.clone()
    runner.load_or_resume()
    assert torch.equal(runner.model.net[2].bias, start)
    assert (runner.model.net[2].weight == 3).all()
    log = next((tmp_path / 'work').glob('*/*.log')).read_text()
    assert (
        '1 missing keys keep their start, 1 unexpected keys are not used'
        in log
    )
    # Patterns are for whole names, and excuse no shape.
    del state['head.weight']
    part = dict(missing=[r'net\.2'])
    assert '1 missing' in refused(runner_of(tmp_path, state, **part))
    state['net.2.bias'] = torch.ones(2)
    every = dict(missing=['.*'], unexpected=['.*'])
    assert 'mismatched key' in refused(runner_of(tmp_path, state, **every))


def test_a_known_checkpoint_is_named(tmp_path, state):
    other = {'layers.0.blocks.0.attn.relative_position_bias_table': 1}
    other = {key: torch.ones(1) for key in other}
    message = refused(runner_of(tmp_path, other))
    assert 'It is a checkpoint of Microsoft Swin, which tools/' in message
    # The model's adapters are missing in a file of the model without them.
    adapted = dict(adapter=dict(type='LoRA', rank=2))
    message = refused(runner_of(tmp_path, state, model=adapted))
    assert 'net.0.lora_A' in message
    assert '2 unexpected keys (net.0.weight, net.0.bias)' in message


def test_a_pattern_alone_is_refused():
    with pytest.raises(ValueError, match='missing must be a list'):
        StrictLoadHook(missing='losses')
