"""``tools/model_converters/merge_adapters.py`` as a user runs it."""

import copy
import importlib.util
import subprocess
import sys

import pytest
import torch
from torch import nn

from mmtpr.models.adapters import (
    adapter_state_dict,
    inject_adapters,
    named_adapters,
)
from mmtpr.registry import MODELS
from mmtpr.testing import tiny_encoder_cfg, tiny_retriever_cfg


def adapted_cfg():
    return tiny_retriever_cfg(
        encoder=dict(
            type='mmtpr.WoRAModel',
            module=tiny_encoder_cfg(),
            rank=2,
            targets=[
                dict(type=r'clip\.visual\.conv1'),
                dict(type=r'clip\.visual\..*'),
            ],
            trainable=[r'clip\.positional_embedding'],
        )
    )


@pytest.fixture(scope='module')
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp('merge')
    torch.manual_seed(0)
    model = MODELS.build(adapted_cfg())
    for _, adapter in named_adapters(model):
        nn.init.normal_(adapter.lora_B, std=0.1)
    torch.save(dict(state_dict=model.state_dict()), folder / 'full.pth')
    short = copy.deepcopy(model.state_dict())
    del short[next(iter(adapter_state_dict(model)))]
    torch.save(dict(state_dict=short), folder / 'short.pth')
    key = next(iter(adapter_state_dict(model)))
    for name, value in (('text', 'none'), ('nan', torch.nan)):
        faulty = model.state_dict()
        faulty[key] = value if name == 'text' else faulty[key] * value
        torch.save(dict(state_dict=faulty), folder / f'{name}.pth')
    config = folder / 'config.py'
    config.write_text(f'default_scope = "mmtpr"\nmodel = {adapted_cfg()!r}\n')
    return folder, model.eval()


@pytest.fixture(scope='module')
def results(case, repo_root):
    """Both runs at once: starting a process is what takes the time."""
    folder, _ = case
    tool = repo_root / 'tools/model_converters/merge_adapters.py'
    running = {
        name: subprocess.Popen(
            [
                sys.executable,
                str(tool),
                str(folder / 'config.py'),
                str(folder / name),
                str(folder / 'out' / name),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ('full.pth', 'short.pth', 'text.pth', 'nan.pth')
    }
    found = {}
    for name, process in running.items():
        stdout, stderr = process.communicate()
        found[name] = process.returncode, stdout, stderr
    return found


def test_the_plain_config_loads_the_result(case, results):
    folder, model = case
    code, stdout, stderr = results['full.pth']
    assert code == 0, stderr
    count = len(list(named_adapters(model)))
    assert f'Merged {count} layers' in stdout
    # How each parameter was initialised is not what one asked for.
    assert len(stdout.splitlines()) < 10, stdout
    plain = MODELS.build(tiny_retriever_cfg()).eval()
    file = torch.load(folder / 'out/full.pth', weights_only=True)
    plain.load_state_dict(file['state_dict'], strict=True)
    images = torch.randn(2, 3, *model.encoder.image_size)
    torch.testing.assert_close(
        plain.encoder.encode_image(images),
        model.encoder.encode_image(images),
        atol=1e-5,
        rtol=1e-5,
    )


def test_a_checkpoint_that_does_not_fit(case, results):
    folder, _ = case
    code, _, stderr = results['short.pth']
    assert code == 1
    assert 'Missing adapter keys: encoder.module.clip.visual' in stderr
    assert 'Traceback' not in stderr
    assert not (folder / 'out/short.pth').exists()


@pytest.mark.parametrize(
    ('name', 'words'),
    [
        ('text.pth', "is no tensor but str 'none': the checkpoint is damaged"),
        ('nan.pth', 'lora_A: NaN or infinite numbers. "'),
    ],
)
def test_weights_that_are_none(case, results, name, words):
    folder, model = case
    code, _, stderr = results[name]
    assert code == 1
    assert words in stderr
    assert next(iter(adapter_state_dict(model))) in stderr
    assert 'Traceback' not in stderr
    assert not (folder / 'out' / name).exists()


@pytest.mark.parametrize(
    'options',
    [
        dict(kernel_size=(1, 7), padding=(0, 3), groups=2),
        dict(kernel_size=3, padding=5, padding_mode='reflect'),
        dict(kernel_size=3, dilation=4, stride=2, padding='valid'),
        dict(kernel_size=5, dilation=2, padding='same'),
    ],
)
def test_any_convolution_is_compared(repo_root, options):
    path = repo_root / 'tools/model_converters/merge_adapters.py'
    spec = importlib.util.spec_from_file_location('merge_adapters', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    model = nn.Sequential(nn.Conv2d(4, 6, **options))
    inject_adapters(model, dict(type='WoRA', rank=2), [dict(type='0')])
    nn.init.normal_(model[0].lora_B)
    assert 0 < tool.merge_layers(model)['0'] < 1e-5
    # Other weights than those of the adapter are seen.
    model[0].unmerge()
    merge = model[0].merge
    model[0].merge = lambda: (merge(), model[0].linear.weight.data.mul_(1.01))
    assert tool.merge_layers(model)['0'] > 1e-3
