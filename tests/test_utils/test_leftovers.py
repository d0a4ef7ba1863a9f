"""Wrappers that a config puts in the place of what they wrap."""

import pytest
from mmengine.config import Config

from mmtpr.registry import DATASETS, MODELS

BASE = """
dataset = dict(type='mmtpr.CUHKPEDES', data_root='d', ann_file='a.json')
model = dict(type='mmtpr.DualEncoderRetriever', encoder=dict(type='Enc'))
"""


def merged(tmp_path, text):
    (tmp_path / 'base.py').write_text(BASE)
    (tmp_path / 'own.py').write_text("_base_ = ['base.py']\n" + text)
    return Config.fromfile(tmp_path / 'own.py')


@pytest.mark.parametrize(
    'wrapper', ['RelevanceFilteredDataset', 'CachedFeatureDataset']
)
def test_datasets(tmp_path, wrapper):
    cfg = merged(
        tmp_path,
        f"dataset = dict(type='mmtpr.{wrapper}', "
        'dataset={{_base_.dataset}}, scores="s.npz", max_rank=5)',
    )
    with pytest.raises(
        TypeError,
        match=rf'{wrapper} does not take data_root, ann_file.*_delete_=True '
        f"into the dict with type='{wrapper}'",
    ):
        DATASETS.build(cfg.dataset)


@pytest.mark.parametrize('wrapper', ['WoRAModel', 'AdapterModel'])
def test_models(tmp_path, wrapper):
    cfg = merged(
        tmp_path,
        f"model = dict(type='mmtpr.{wrapper}', module=dict(type='X'))",
    )
    with pytest.raises(TypeError, match=r'take encoder\. If the base config'):
        MODELS.build(cfg.model)


def test_the_cure_works(tmp_path):
    cfg = merged(
        tmp_path,
        "dataset = dict(_delete_=True, type='mmtpr.RelevanceFilteredDataset', "
        "dataset=dict(type='mmtpr.CUHKPEDES', lazy_init=True), "
        'scores="s.npz", max_rank=5, lazy_init=True)',
    )
    [rules] = DATASETS.build(cfg.dataset).selector.rules
    assert rules['max_rank'] == 5
