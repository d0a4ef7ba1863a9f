"""Every config parses, builds when shrunk, and is named where it must be."""

from pathlib import Path

import pytest
import yaml
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmtpr.registry import HOOKS, METRICS, MODELS, TRANSFORMS
from mmtpr.testing import shrink_config

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'configs'
ALL = sorted(CONFIGS.rglob('*.py'))
SHORT = sorted(CONFIGS.glob('*.py'))
FOLDERS = sorted(
    path
    for path in CONFIGS.iterdir()
    if path.is_dir() and path.name != '_base_'
)
# Filtering trains nothing, nor does the making of data.
NO_METHODS = ('filtering', 'synthesis')
METHODS = [path for path in FOLDERS if path.name not in NO_METHODS]
METHOD_FILES = sorted(
    path for folder in METHODS for path in folder.glob('*.py')
)
LINES = dict(runnable=60, base=80)


def name_of(path: Path) -> str:
    return path.relative_to(CONFIGS).as_posix()


def metafile(folder: Path) -> dict:
    with open(folder / 'metafile.yml', encoding='utf-8') as file:
        return yaml.safe_load(file)


@pytest.fixture(autouse=True)
def _mmtpr_scope():
    with DefaultScope.overwrite_default_scope('mmtpr'):
        yield


@pytest.mark.smoke
@pytest.mark.parametrize('path', ALL, ids=name_of)
def test_config_parses_and_fits_a_screen(path):
    text = path.read_text(encoding='utf-8')
    is_base = '_base_' in path.parts
    limit = LINES['base' if is_base else 'runnable']
    assert len(text.splitlines()) <= limit
    cfg = Config.fromfile(path)
    # What a run writes into its work dir can be read again.
    again = Config.fromstring(cfg.pretty_text, '.py')
    assert again.to_dict() == cfg.to_dict()


@pytest.mark.parametrize('path', SHORT, ids=name_of)
def test_short_names_are_a_few_lines_over_a_method(path):
    lines = path.read_text(encoding='utf-8').splitlines()
    assert len([line for line in lines if line.strip()]) <= 5
    assert lines[0].startswith("_base_ = ['./")


@pytest.mark.parametrize('path', METHOD_FILES, ids=name_of)
def test_method_config_is_runnable(path):
    cfg = Config.fromfile(path)
    assert cfg.default_scope == 'mmtpr'
    for key in (
        *('model', 'optim_wrapper', 'default_hooks', 'randomness'),
        *('train_dataloader', 'val_dataloader', 'test_dataloader'),
        *('train_cfg', 'val_cfg', 'test_cfg', 'val_evaluator'),
    ):
        assert cfg.get(key) is not None, key
    assert cfg.auto_scale_lr.base_batch_size > 0
    # AMP is a switch of the tools: it refuses CPUs.
    assert cfg.optim_wrapper.get('type', 'OptimWrapper') == 'OptimWrapper'


@pytest.mark.smoke
@pytest.mark.parametrize('path', METHOD_FILES, ids=name_of)
def test_parts_build_small_and_offline(path, tmp_path):
    if any(word in path.name for word in ('blip2', 'bert', 'aptm')):
        pytest.importorskip(
            'transformers', reason='BLIP-2 and BERT need the extra [blip2]'
        )
    cfg = shrink_config(path, tmp_path)
    model = MODELS.build(cfg.model)
    free = [p for p in model.parameters() if p.requires_grad]
    assert free
    metric = METRICS.build(cfg.val_evaluator)
    # The best checkpoint is chosen by something the metric reports.
    head = f'{metric.prefix}/' if metric.prefix else ''
    best = cfg.default_hooks.checkpoint.save_best
    assert best in (f'{head}mAP', f'{head}R@1')
    for name in ('train_dataloader', 'test_dataloader'):
        for transform in pipeline_of(cfg[name].dataset):
            if transform['type'] == 'mmtpr.TokenizeCaption':
                # The toy vocabulary is written with the toy data.
                transform = dict(transform, tokenizer='ViT-B-16')
            assert callable(TRANSFORMS.build(transform))
    for hook in cfg.default_hooks.values():
        HOOKS.build(hook)


def pipeline_of(dataset: dict) -> list:
    while 'dataset' in dataset:
        dataset = dataset['dataset']
    return dataset['pipeline']


@pytest.mark.parametrize('path', METHOD_FILES, ids=name_of)
def test_adapter_configs_freeze_what_they_adapt(path, tmp_path):
    if not path.parent.name.split('_')[0].endswith('ora'):
        pytest.skip('no adapter in this method')
    if 'bert' in path.name:
        pytest.importorskip(
            'transformers', reason='BERT needs the extra [blip2]'
        )
    model = MODELS.build(shrink_config(path, tmp_path).model)
    state = dict(model.named_parameters())
    bases = [n for n in state if n.endswith('.linear.weight')]
    bases += [n for n in state if n.endswith('.original')]
    adapters = [n for n in state if n.endswith('lora_A')]
    assert bases
    assert adapters
    assert not [n for n in bases if state[n].requires_grad]
    assert all(state[n].requires_grad for n in adapters)


@pytest.mark.parametrize('folder', FOLDERS, ids=lambda path: path.name)
def test_every_method_file_is_in_its_metafile(folder):
    content = metafile(folder)
    collections = {item['Name'] for item in content['Collections']}
    named = {}
    for model in content['Models']:
        assert model['In Collection'] in collections
        named[model['Config']] = model['Name']
    assert named == {
        path.relative_to(ROOT).as_posix(): path.stem
        for path in sorted(folder.glob('*.py'))
    }


@pytest.mark.parametrize('folder', FOLDERS, ids=lambda path: path.name)
def test_metafile_invents_nothing(folder):
    """Weights must lie somewhere and results must have been measured."""
    for model in metafile(folder)['Models']:
        assert 'Weights' not in model
        for result in model.get('Results') or []:
            assert 'Metrics' in result
    for collection in metafile(folder)['Collections']:
        assert (ROOT / collection['README']).is_file()


def test_model_index_lists_all_metafiles():
    with open(ROOT / 'model-index.yml', encoding='utf-8') as file:
        listed = yaml.safe_load(file)['Import']
    assert listed == [f'configs/{m.name}/metafile.yml' for m in FOLDERS]
    assert all((ROOT / path).is_file() for path in listed)
