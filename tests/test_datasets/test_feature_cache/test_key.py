"""Caches of different features have different keys."""

import os
import shutil
from pathlib import Path

import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.dataset import Compose

from mmtpr.datasets import CachedFeatureDataset
from mmtpr.datasets.feature_cache.encode import PairEncoder
from mmtpr.datasets.feature_cache.key import images_fingerprint
from mmtpr.registry import MODELS
from mmtpr.testing import tiny_encoder_cfg, write_tiny_cuhk


class TimesWithoutRepr(BaseTransform):
    """Its arguments are not in its repr, which is that of any object."""

    def __init__(self, factor):
        self.factor = factor

    def transform(self, results):
        results['img'] = results['img'] * self.factor
        return results


def pipeline(*transforms, tokenize=None):
    load = [dict(type='LoadImageFromFile'), *transforms]
    return [
        dict(type='mmtpr.ImageTransforms', transforms=load),
        tokenize or dict(type='mmtpr.TokenizeCaption', context_length=16),
        dict(type='mmtpr.PackRetrievalInputs'),
    ]


PLAIN = pipeline()


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return write_tiny_cuhk(tmp_path_factory.mktemp('cuhk'), num_ids=(2, 1, 1))


@pytest.fixture(scope='module')
def encoder():
    torch.manual_seed(0)
    return MODELS.build(tiny_encoder_cfg(context_length=16)).eval()


@pytest.fixture
def make(root, encoder, tmp_path):
    """Opens the cache of given things; makes it if there is none."""

    def build(pipeline=PLAIN, encoder=encoder, root=root, **kwargs):
        dataset = dict(
            type='mmtpr.CUHKPEDES',
            data_root=str(root),
            ann_file='reid_raw.json',
            data_prefix=dict(img_path='imgs'),
            pipeline=pipeline,
        )
        cache = str(tmp_path / 'cache')
        return CachedFeatureDataset(
            dataset, encoder, cache, on_mismatch='error', **kwargs
        )

    return build


def test_settings_of_the_encoder_count(make, encoder):
    cfg = tiny_encoder_cfg(context_length=16)
    other = MODELS.build(dict(cfg, quick_gelu=True)).eval()
    other.load_state_dict(encoder.state_dict())
    images = torch.randn(2, 3, *encoder.image_size)
    with torch.no_grad():
        a, b = (each.encode_image(images) for each in (encoder, other))
    assert (a - b).abs().max() > 1e-4
    make()
    with pytest.raises(ValueError, match=r'something else \(encoder: \w{12} '):
        make(encoder=other)


def test_settings_that_no_repr_shows_count(encoder):
    before = PairEncoder(encoder).fingerprint()
    heads = encoder.clip.visual.transformer.resblocks[0].attn
    number, heads.num_heads = heads.num_heads, 1
    assert PairEncoder(encoder).fingerprint() != before
    heads.num_heads = number
    assert PairEncoder(encoder).fingerprint() == before
    mean = dict(mean=(0.0, 0.0, 0.0))
    assert PairEncoder(encoder, mean).fingerprint() != before


def test_what_only_training_needs_does_not_count(encoder):
    before = PairEncoder(encoder).fingerprint()
    cfg = tiny_encoder_cfg(context_length=16)
    other = MODELS.build(
        dict(cfg, grad_checkpointing=True, frozen=('visual',))
    )
    other.load_state_dict(encoder.state_dict())
    with torch.no_grad():
        other.encode_image(torch.randn(2, 3, *encoder.image_size))
    assert PairEncoder(other).fingerprint() == before


def test_a_replaced_image_is_noticed(make, root, tmp_path):
    own = shutil.copytree(root, tmp_path / 'data')
    make(root=own)
    make(root=own)
    first, second = sorted(Path(own, 'imgs/train').iterdir())[:2]
    first.write_bytes(second.read_bytes())
    with pytest.raises(ValueError, match=r'\(images: \w{12} there, \w{12}'):
        make(root=own)


def test_size_or_time_of_a_file_is_enough(tmp_path):
    paths = [str(tmp_path / name) for name in ('a.jpg', 'b.jpg')]
    for path in paths:
        Path(path).write_bytes(b'one')
        os.utime(path, ns=(10**9, 10**9))
    before = images_fingerprint(paths)
    assert images_fingerprint([*paths, paths[0]]) == before
    os.utime(paths[0], ns=(10**9, 10**9 + 1))
    assert images_fingerprint(paths) != before
    Path(paths[0]).write_bytes(b'longer')
    os.utime(paths[0], ns=(10**9, 10**9))
    assert images_fingerprint(paths) != before
    remote = ['s3://bucket/a.jpg', 's3://bucket/b.jpg']
    assert images_fingerprint(remote) == images_fingerprint(remote)


def test_a_file_is_looked_at_once_and_not_opened(tmp_path, monkeypatch):
    paths = [str(tmp_path / f'{i}.jpg') for i in range(3000)]
    for path in paths:
        Path(path).touch()
    seen = []
    stat = os.stat

    def counted(path, *args, **kwargs):
        seen.append(path)  # from several threads
        return stat(path, *args, **kwargs)

    def refused(*args, **kwargs):
        raise AssertionError('opened')

    with monkeypatch.context() as patch:
        patch.setattr(os, 'stat', counted)
        for name in ('builtins.open', 'io.open', 'os.open', 'os.listdir'):
            patch.setattr(name, refused)
        images_fingerprint(paths + paths)
    ours = set(paths)
    assert sorted(path for path in seen if path in ours) == sorted(paths)


def test_arguments_count_without_a_repr(make):
    transform = dict(type=TimesWithoutRepr)
    make(pipeline(dict(transform, factor=1)))
    make(pipeline(dict(transform, factor=1)))
    with pytest.raises(ValueError, match=r'\(pipeline: '):
        make(pipeline(dict(transform, factor=2)))


def test_arguments_count_that_a_repr_leaves_out(make):
    tokenize = dict(type='mmtpr.TokenizeCaption', context_length=16)
    assert 'source' not in repr(Compose([tokenize]))
    make(pipeline(tokenize=tokenize))
    with pytest.raises(ValueError, match=r'\(pipeline: '):
        make(pipeline(tokenize=dict(tokenize, source='text')))


def test_use_changes_no_key(make, encoder):
    data = make()
    data.dataset.pipeline(dict(role='query', caption='an unseen word: heron'))
    CachedFeatureDataset(
        data.dataset, encoder, data.cache, on_mismatch='error'
    )
