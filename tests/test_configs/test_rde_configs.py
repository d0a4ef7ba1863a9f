"""RDE's recipe, and its configs through the tools."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

from mmtpr.registry import MODELS
from mmtpr.testing import shrink_config, write_tiny_data

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'configs'
NAMES = ('rde_cuhk', 'rde_icfg', 'rde_rstp', 'wora_rde_cuhk')


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_tiny_data(tmp_path_factory.mktemp('data'))


def groups(cfg):
    """Rate and decay of each parameter that trains."""
    model = MODELS.build(cfg.model)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    names = {id(p): n for n, p in model.named_parameters()}
    return {
        names[id(p)]: (group['lr'], group['weight_decay'])
        for group in optimizer.param_groups
        for p in group['params']
    }


@pytest.mark.parametrize('name', NAMES)
def test_the_recipe_is_the_published_one(name):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    losses = cfg.model.losses
    assert set(losses) == {'bge', 'tse'}
    for loss in losses.values():
        assert loss.type == 'mmtpr.TALLoss'
        assert (loss.temperature, loss.margin) == (0.015, 0.1)
    assert losses.tse.embedding == 'tse'
    assert cfg.model.necks.tse.ratio == 0.3
    assert cfg.train_dataloader.batch_size == 128
    assert cfg.auto_scale_lr.base_batch_size == 128
    assert cfg.train_cfg.max_epochs == 60
    dataset = cfg.train_dataloader.dataset
    assert dataset.type == 'mmtpr.SelectedPairsDataset'
    assert dataset.plain_pipeline == cfg.test_pipeline
    fine = dict(max_iter=100, tol=1e-4, reg_covar=1e-6)
    assert dataset.selector == dict(
        type='mmtpr.ConsensusDivision', **(fine if 'rstp' in name else {})
    )
    hook = dict(type='mmtpr.PairSelectionHook', batch_size=128)
    assert cfg.custom_hooks == [hook]
    kinds = [t.type for t in dataset.dataset.pipeline]
    assert kinds == [
        'mmtpr.ImageTransforms',
        'mmtpr.TokenizeCaption',
        'mmtpr.PerturbTokens',
        'mmtpr.PackRetrievalInputs',
    ]
    other = Config.fromfile(CONFIGS / 'irra_cuhk.py')
    assert other.optim_wrapper.optimizer == cfg.optim_wrapper.optimizer
    assert other.param_scheduler == cfg.param_scheduler


def test_rates_and_decay(data):
    """As the release sets them, name by name."""
    found = groups(shrink_config(CONFIGS / 'rde_cuhk.py', data))
    assert len(found) > 50
    for name, (rate, decay) in found.items():
        bias = name.endswith('bias')
        selected = name.startswith('necks.')
        wanted = 1e-3 if selected else 2e-5 if bias else 1e-5
        assert rate == pytest.approx(wanted), name
        assert decay == pytest.approx(0.0 if bias else 4e-5), name
    assert sum(name.startswith('necks.') for name in found) == 2 * 8


def test_adapters_learn_at_their_own_rate(data):
    found = groups(shrink_config(CONFIGS / 'wora_rde_cuhk.py', data))
    adapters = {n: v for n, v in found.items() if '.lora_' in n}
    assert adapters
    assert set(adapters.values()) == {(1e-4, 4e-5)}
    numbers = {v for n, v in found.items() if n.endswith('.magnitude')}
    assert numbers == {(1e-4, 0.0)}
    assert found['necks.tse.text.hidden.weight'][0] == pytest.approx(1e-3)
    assert found['necks.tse.text.hidden.bias'] == (1e-3, 0.0)


def test_datasets_differ_in_their_data_alone():
    models = [
        Config.fromfile(CONFIGS / f'{name}.py').model for name in NAMES[:3]
    ]
    assert models[0] == models[1] == models[2]


def call(name, monkeypatch, *words):
    """A tool in this process, with the words of its command line."""
    monkeypatch.setattr(sys, 'argv', [name, *map(str, words)])
    monkeypatch.setenv('LOCAL_RANK', '0')
    path = ROOT / f'tools/{name}.py'
    spec = importlib.util.spec_from_file_location(f'_rde_{name}', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main()


@pytest.mark.parametrize('name', ['toy/rde_ccd_toy', 'wora_rde_cuhk'])
def test_it_trains_and_tests_through_the_tools(
    name, data, tmp_path, monkeypatch
):
    pytest.importorskip('sklearn.mixture')
    cfg = shrink_config(CONFIGS / f'{name}.py', data, keep_filter=True)
    cfg.visualizer.vis_backends = [dict(type='LocalVisBackend')]
    cfg.dump(tmp_path / 'rde.py')
    monkeypatch.chdir(tmp_path)
    call('train', monkeypatch, 'rde.py', '--work-dir', 'out')
    checkpoint = tmp_path / 'out/epoch_1.pth'
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    assert state['necks.tse.text.norm.num_batches_tracked'] > 1
    for part in ('both', 'tse'):
        only = ['--cfg-options', 'model.global_weight=0']
        words = ['--work-dir', part, *(only if part == 'tse' else [])]
        out = f'{part}.json'
        call('test', monkeypatch, 'rde.py', checkpoint, '--out', out, *words)
        assert 0 <= json.loads(Path(out).read_text())['mAP'] <= 100
