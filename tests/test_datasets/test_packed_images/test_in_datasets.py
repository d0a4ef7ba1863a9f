"""Datasets read packed images as they read files."""

import shutil
from importlib.util import find_spec

import pytest
import torch
from torch.utils.data import DataLoader

from mmtpr.datasets import CUHKPEDES
from mmtpr.datasets.packed_images import join_packed, pack_lmdb, pack_tar
from mmtpr.utils.errors import told_message

LOAD = [dict(type='LoadImageFromFile')]
PIPELINE = [
    dict(type='mmtpr.ImageTransforms', transforms=LOAD),
    dict(type='mmtpr.PackRetrievalInputs'),
]
SCHEMES = [
    'tar',
    pytest.param(
        'lmdb',
        marks=pytest.mark.skipif(
            not find_spec('lmdb'), reason='needs the extra [lmdb]'
        ),
    ),
]


@pytest.fixture
def root(images, tmp_path):
    return shutil.copytree(images, tmp_path / 'data')


def build(root, folder, **options):
    return CUHKPEDES(
        data_root=str(root),
        ann_file='reid_raw.json',
        data_prefix=dict(img_path=folder),
        pipeline=PIPELINE,
        **options,
    )


def pack(scheme, *arguments):
    (pack_tar if scheme == 'tar' else pack_lmdb)(*arguments)


@pytest.mark.parametrize('scheme', SCHEMES)
@pytest.mark.parametrize('absolute', [False, True])
def test_the_same_samples(root, scheme, absolute):
    expected = [s['inputs']['image'] for s in build(root, 'imgs')]
    pack(scheme, root / 'imgs', root / 'packed')
    shutil.rmtree(root / 'imgs')
    folder = str(root / 'packed') if absolute else 'packed'
    dataset = build(root, f'{scheme}://{folder}', broken_images='skip')
    assert dataset.load_report['broken_images'] == {}
    found = [s['inputs']['image'] for s in dataset]
    # A spawned worker takes seconds to begin: once will do.
    for context in ('fork', 'spawn') if absolute else ('fork',):
        loader = DataLoader(
            dataset,
            batch_size=5,
            num_workers=1 if context == 'spawn' else 2,
            collate_fn=list,
            multiprocessing_context=context,
        )
        loaded = [s['inputs']['image'] for batch in loader for s in batch]
        for images in (found, loaded):
            assert len(images) == len(expected)
            for a, b in zip(images, expected, strict=True):
                assert torch.equal(a, b)


@pytest.mark.parametrize('scheme', SCHEMES)
def test_an_image_that_was_not_packed(root, scheme):
    shutil.copytree(root / 'imgs', root / 'some')
    first = next((root / 'some/train').glob('*.png'))
    first.unlink()
    pack(scheme, root / 'some', root / 'packed')
    dataset = build(root, f'{scheme}://packed')
    index = next(
        i
        for i in range(len(dataset))
        if dataset.get_data_info(i)['img_path'].endswith(first.name)
    )
    with pytest.raises(FileNotFoundError, match=first.name) as caught:
        dataset[index]
    assert told_message(caught.value)
    part = build(root, f'{scheme}://packed', broken_images='skip')
    assert len(part) == len(dataset) - 2
    assert [*part.load_report['broken_images'].values()] == ['missing']


@pytest.mark.parametrize('scheme', SCHEMES)
def test_a_broken_pack_is_told_while_loading(root, scheme):
    with pytest.raises(FileNotFoundError, match='no packed images') as caught:
        build(root, f'{scheme}://imgs')
    assert told_message(caught.value) == str(caught.value)
    pack(scheme, root / 'imgs', root / 'packed')
    largest = max((root / 'packed').iterdir(), key=lambda p: p.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-2000])
    with pytest.raises(OSError, match='is cut off') as caught:
        build(root, f'{scheme}://packed')
    assert told_message(caught.value) == str(caught.value)


def test_a_shard_replaced_after_loading(root):
    pack_tar(root / 'imgs', root / 'packed')
    dataset = build(root, 'tar://packed')
    shard = root / 'packed/images-00000.tar'
    shard.write_bytes(b'x' * shard.stat().st_size)
    with pytest.raises(OSError, match='not the one that was') as caught:
        dataset[0]
    assert told_message(caught.value) == str(caught.value)


def test_joining():
    assert join_packed('data/MALS', 'tar://packed') == 'tar://data/MALS/packed'
    assert join_packed('data/MALS', 'lmdb://') == 'lmdb://data/MALS'
    assert join_packed('data', 'tar:///packed/') == 'tar:///packed'
    assert join_packed('', 'tar://packed') == 'tar://packed'
    assert join_packed('data', 'packed') is None
    assert join_packed('data', 's3://bucket') is None
