"""The helpers other tests stand on."""

import json

import mmcv
import pytest
import torch
from mmengine.config import Config

from mmtpr.registry import MODELS
from mmtpr.testing import (
    shrink_config,
    tiny_retriever_cfg,
    write_tiny_cuhk,
    write_tiny_data,
)


def test_tiny_data_in_all_layouts(tmp_path):
    root = write_tiny_data(tmp_path / 'data', num_ids=(3, 1, 2))
    records = json.loads((root / 'reid_raw.json').read_text())
    assert len(records) == 12
    ids = {split: set() for split in ('train', 'val', 'test')}
    for record in records:
        ids[record['split']].add(record['id'])
        image = mmcv.imread(str(root / 'imgs' / record['file_path']))
        assert image.shape == (64, 32, 3)
        assert len(record['captions']) == 2
    assert [len(v) for v in ids.values()] == [3, 1, 2]
    assert len(set.union(*ids.values())) == 6
    icfg = json.loads((root / 'ICFG-PEDES.json').read_text())
    assert {r['split'] for r in icfg} == {'train', 'test'}
    rstp = json.loads((root / 'data_captions.json').read_text())
    assert sorted(rstp[0]) == ['captions', 'id', 'img_path', 'split']
    mals = json.loads((root / 'gene_attrs/g_0.json').read_text())
    assert len(mals) == 6
    assert len(mals[0]['label']) == 27
    assert (root / mals[0]['image']).is_file()


def test_tiny_data_is_seeded_and_limited(tmp_path):
    images = []
    for name in ('a', 'b'):
        root = write_tiny_cuhk(tmp_path / name)
        images.append((root / 'imgs/train/0000_0.png').read_bytes())
    assert images[0] == images[1]
    with pytest.raises(ValueError, match='At most 30 identities, got 31'):
        write_tiny_cuhk(tmp_path / 'c', num_ids=(29, 1, 1))


def test_the_tiny_retriever_trains():
    model = MODELS.build(tiny_retriever_cfg(num_classes=3))
    assert model.losses['id'].classifier.out_features == 3
    assert sum(p.numel() for p in model.parameters()) < 5e6


def _config(filtered):
    train = dict(type='mmtpr.CUHKPEDES', data_root='data/CUHK-PEDES')
    if filtered:
        train = dict(
            type='mmtpr.RelevanceFilteredDataset',
            dataset=train,
            scores='scores.npz',
            max_rank=1800,
        )
    return Config(
        dict(
            model=dict(
                type='mmtpr.TextPersonRetriever',
                encoder=dict(
                    type='mmtpr.OpenCLIPEncoder',
                    model='ViT-B-16-quickgelu',
                    pretrained='openai',
                    image_size=(384, 128),
                ),
                losses=dict(mlm=dict(type='mmtpr.MLMLoss')),
            ),
            pipeline=[
                dict(
                    type='mmtpr.ImageTransforms',
                    transforms=[dict(type='Resize', scale=(128, 384))],
                ),
                dict(type='mmtpr.TokenizeCaption', tokenizer='ViT-B-16'),
            ],
            train_dataloader=dict(
                batch_size=64,
                num_workers=8,
                persistent_workers=True,
                dataset=train,
            ),
            val_dataloader=None,
            train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=60),
            param_scheduler=[
                dict(type='LinearLR', end=5, convert_to_iter_based=True)
            ],
        )
    )


@pytest.mark.parametrize('keep', [False, True])
def test_shrink_config(keep, tmp_path):
    cfg = _config(filtered=True)
    small = shrink_config(cfg, tmp_path, keep_filter=keep)
    assert cfg.model.encoder.model == 'ViT-B-16-quickgelu'
    assert cfg.train_dataloader.batch_size == 64
    loader = small.train_dataloader
    assert (loader.batch_size, loader.num_workers) == (4, 0)
    dataset = loader.dataset.dataset if keep else loader.dataset
    assert dataset.type == 'mmtpr.CUHKPEDES'
    assert dataset.data_root == str(tmp_path)
    resize, tokenize = small.pipeline[0].transforms[0], small.pipeline[1]
    assert tuple(resize.scale) == (32, 64)
    assert tokenize.context_length == 32
    assert small.train_cfg.max_epochs == 1
    model = MODELS.build(small.model)
    assert model.encoder.image_size == (64, 32)
    tokens = torch.ones(1, 32, dtype=torch.long)
    assert model.extract_text_feat(tokens).shape == (1, 32)
