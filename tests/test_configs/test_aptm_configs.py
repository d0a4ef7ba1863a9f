"""APTM's and Filtering-WoRA's configs: what they share, what they load."""

from functools import partial
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmtpr.registry import MODELS
from mmtpr.testing import shrink_config, write_tiny_data
from mmtpr.utils.errors import LaunchError

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
SETS = ('cuhk', 'icfg', 'rstp')
# Helpers that datasets bring along.
DATA = ('normalisation', 'clean', 'train_pipeline', 'test_pipeline')


def without_data(name: str, key: str) -> dict:
    """A config without all that says which dataset it is for."""
    cfg = Config.fromfile(CONFIGS / f'{name}_{key}.py').to_dict()
    for part in ('train', 'val', 'test'):
        loader = cfg[f'{part}_dataloader']
        loader['dataset'] = loader['dataset']['type'].startswith('mmtpr.Rel')
        cfg.pop(f'{key}_{part}')
    for entry in (*DATA, f'{key}_root'):
        cfg.pop(entry, None)
    assert cfg['model'].pop('data_preprocessor').keys() == {'mean', 'std'}
    # Erased rectangles have the mean of the data.
    cfg['train_images']['transforms'][-1].pop('fill', None)
    return cfg


@pytest.mark.parametrize('name', ['aptm', 'wora_aptm'])
def test_sets_differ_in_their_data_alone(name):
    first, *others = [without_data(name, key) for key in SETS]
    assert first['model']['augmented_weight'] == 0.8
    assert first['train_dataloader']['batch_size'] == 120
    assert all(other == first for other in others)


@pytest.mark.parametrize('key', [*SETS, 'mals'])
def test_erased_rectangles_have_the_mean_of_the_data(key):
    cfg = Config.fromfile(CONFIGS / f'wora_aptm_{key}.py')
    pipeline = cfg.train_dataloader.dataset.dataset.pipeline
    (images,) = [t for t in pipeline if t.type == 'mmtpr.ImageTransforms']
    mean = cfg.model.data_preprocessor.mean
    assert images.transforms[-1].fill == mean[::-1]  # images are BGR


def test_wora_takes_the_recipe_over():
    """Filtering-WoRA differs from APTM in the encoder and the smoothing."""
    plain, wora = (
        without_data(name, 'cuhk') for name in ('aptm', 'wora_aptm')
    )
    encoder = wora['model'].pop('encoder')
    assert encoder.pop('type') == 'mmtpr.WoRAModel'
    start = plain['model'].pop('encoder').pop('pretrained')
    assert start == 'work_dirs/aptm_mals/epoch_32.pth'
    assert encoder['module'] == plain['encoder']
    assert (encoder['rank'], encoder['alpha'], encoder['beta']) == (8, 8, 1)
    assert wora['model']['losses']['itm'].pop('label_smoothing') == 0.1
    assert wora['model'] == plain['model']
    assert wora.pop('load_from') == 'work_dirs/wora_aptm_mals/epoch_32.pth'
    same = ('optim_wrapper', 'param_scheduler', 'train_cfg', 'custom_hooks')
    assert all(wora[name] == plain[name] for name in same)


@pytest.fixture
def small(tmp_path):
    pytest.importorskip('transformers', reason='BERT needs the extra [blip2]')
    pytest.importorskip(
        'mmpretrain.models', reason='Swin needs the extra [openmmlab]'
    )
    return lambda name: shrink_config(CONFIGS / f'{name}.py', tmp_path)


def load(cfg: Config, path: Path) -> torch.nn.Module:
    """What a run of this config starts from."""
    runner = Runner(
        model=cfg.model,
        work_dir=str(path.parent / 'work'),
        load_from=str(path),
        custom_hooks=cfg.custom_hooks,
        default_scope='mmtpr',
        experiment_name=f'{path.parent.name}_{path.stem}',
    )
    runner.load_or_resume()
    return runner.model


@pytest.mark.parametrize('key', SETS)
def test_tuning_goes_on_from_pretraining_whole(small, tmp_path, key):
    """All that pre-training left is used, adapters and attributes' loss."""
    torch.manual_seed(1)
    state = MODELS.build(small('wora_aptm_mals').model).state_dict()
    assert any(name.endswith('.lora_A') for name in state)
    path = tmp_path / 'epoch_32.pth'
    torch.save(dict(state_dict=state), path)
    found = load(small(f'wora_aptm_{key}'), path).state_dict()
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)


def test_a_checkpoint_that_does_not_fit_stops_the_run(small, tmp_path):
    cfg = small('wora_aptm_cuhk')
    whole = MODELS.build(cfg.model).state_dict()
    word = 'encoder.module.bert.bert.embeddings.word_embeddings.weight'
    wrong = {
        'lacks': {k: v for k, v in whole.items() if k != word},
        'beside': whole | {'encoder.module.bert.pooler': torch.ones(1)},
        'words': whole | {word: torch.ones(50, 32)},
        'plain': MODELS.build(small('aptm_cuhk').model).state_dict(),
    }
    told = {
        'lacks': f'1 missing key .{word}',
        'beside': '1 unexpected key .encoder.module.bert.pooler',
        'words': 'the vocabulary has 50 words there and 64 in the model',
        'plain': 'It is a checkpoint of mmtpr cross-modal retrieval',
    }
    for name, state in wrong.items():
        path = tmp_path / f'{name}.pth'
        torch.save(dict(state_dict=state), path)
        with pytest.raises(LaunchError, match=told[name]):
            load(cfg, path)


def test_aptm_goes_on_from_pretraining_or_stops(small, tmp_path):
    """``pretrained`` takes the encoder, whole or not at all."""
    cfg = small('aptm_cuhk')
    state = MODELS.build(small('aptm_mals').model).state_dict()
    path = tmp_path / 'epoch_32.pth'
    torch.save(dict(state_dict=state), path)
    cfg.model.encoder.pretrained = str(path)
    found = MODELS.build(cfg.model).state_dict()
    assert all(torch.equal(found[name], state[name]) for name in state)
    del state['encoder.image_projection.bias']
    torch.save(dict(state_dict=state), path)
    with pytest.raises(ValueError, match=r'1 missing key .image_projection'):
        MODELS.build(cfg.model)


@pytest.mark.parametrize('key', [*SETS, 'mals'])
def test_as_many_parameters_train_as_in_the_release(key, monkeypatch):
    """129.51 M of the model that the release trains."""
    pytest.importorskip('transformers', reason='BERT needs the extra [blip2]')
    pytest.importorskip(
        'mmpretrain.models', reason='Swin needs the extra [openmmlab]'
    )
    encoder = Config.fromfile(CONFIGS / f'wora_aptm_{key}.py').model.encoder
    encoder.module.update(image_pretrained=None, text_pretrained=None)
    # mmpretrain reads its drop rates while it builds a Swin.
    linspace = partial(torch.linspace, device='cpu')
    with monkeypatch.context() as patch, torch.device('meta'):
        patch.setattr(torch, 'linspace', linspace)
        model = MODELS.build(encoder)
    assert len(model.adapted_layers) == 99
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert round(trained / 1e6, 2) == 129.51


def test_attributes_of_pa100k_by_a_checkpoint_alone(small, tmp_path):
    """The config tests a checkpoint of pre-training without further files."""
    write_tiny_data(tmp_path)
    torch.manual_seed(1)
    state = MODELS.build(small('aptm_mals').model).state_dict()
    torch.save(dict(state_dict=state), tmp_path / 'epoch_32.pth')
    encoder = Config.fromfile(CONFIGS / 'aptm_pa100k.py').model.encoder
    assert encoder.image_pretrained is encoder.text_pretrained is None
    cfg = small('aptm_pa100k')
    runner = Runner(
        model=cfg.model,
        work_dir=str(tmp_path / 'work'),
        test_dataloader=cfg.test_dataloader,
        test_cfg=cfg.test_cfg,
        test_evaluator=cfg.test_evaluator,
        load_from=str(tmp_path / 'epoch_32.pth'),
        custom_hooks=cfg.custom_hooks,
        default_scope='mmtpr',
        experiment_name=f'pa100k_{tmp_path.name}',
    )
    found = runner.test()
    assert set(found) == {'mA', 'accuracy', 'precision', 'recall', 'F1'}
    assert 0 < found['mA'] < 100
    words = 'encoder.bert.bert.embeddings.word_embeddings.weight'
    assert torch.equal(runner.model.state_dict()[words], state[words])
