"""Features of a frozen encoder, computed once."""

import pickle
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner

from mmtpr.datasets import CachedFeatureDataset
from mmtpr.datasets.feature_cache.encode import PairEncoder
from mmtpr.models import RetrievalDataPreprocessor
from mmtpr.registry import DATASETS, MODELS
from mmtpr.testing import tiny_encoder_cfg, write_tiny_cuhk

PIPELINE = [
    dict(
        type='mmtpr.ImageTransforms',
        transforms=[
            dict(type='LoadImageFromFile'),
            dict(type='mmtpr.PadCrop', padding=8),
        ],
    ),
    dict(type='mmtpr.TokenizeCaption', context_length=16),
    dict(type='mmtpr.PackRetrievalInputs'),
]
PLAIN = [
    dict(PIPELINE[0], transforms=[dict(type='LoadImageFromFile')]),
    *PIPELINE[1:],
]


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return write_tiny_cuhk(tmp_path_factory.mktemp('cuhk'), num_ids=(3, 1, 1))


@pytest.fixture(scope='module')
def encoder():
    torch.manual_seed(0)
    return MODELS.build(tiny_encoder_cfg(context_length=16)).eval()


@pytest.fixture
def make(root, encoder, tmp_path):
    def build(encoder=encoder, pipeline=PLAIN, **kwargs):
        return DATASETS.build(
            dict(
                type='mmtpr.CachedFeatureDataset',
                dataset=dict(
                    type='mmtpr.CUHKPEDES',
                    data_root=str(root),
                    ann_file='reid_raw.json',
                    data_prefix=dict(img_path='imgs'),
                    pipeline=pipeline,
                ),
                encoder=encoder,
                cache=str(tmp_path / 'cache'),
                **kwargs,
            )
        )

    return build


def files(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def test_progress_counts_views_and_captions(make, counted):
    seen = counted('datasets.feature_cache.encode')
    make()
    assert seen == {
        'Encoding views of images': [6, 6],
        'Encoding captions': [12, 12],
    }


def test_features_are_those_of_the_encoder(make, encoder):
    data = make()
    assert len(data) == 12
    batch = [data.dataset[i] for i in range(len(data))]
    inputs = RetrievalDataPreprocessor()(pseudo_collate(batch))['inputs']
    with torch.no_grad():
        image = encoder.encode_image(inputs['image'])
        text = encoder.encode_text(inputs['tokens'])
    samples = [data[i]['data_samples'] for i in range(len(data))]
    for name, wanted in (('image_feat', image), ('text_feat', text)):
        got = torch.stack([getattr(sample, name) for sample in samples])
        torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-5)
    old = [item['data_samples'].pid for item in batch]
    assert [sample.pid for sample in samples] == old
    # Two captions share an image, which is kept once.
    assert np.load(f'{data.cache}/image.npy').shape == (6, 1, 32)
    assert files(data.cache) == [
        'image.npy',
        'image_row.npy',
        'meta.json',
        'text.npy',
    ]
    assert files(Path(data.cache).parent) == ['cache']


def test_the_cache_is_made_once(make, monkeypatch, log):
    first = make()
    stamp = Path(first.cache, 'image.npy').stat().st_mtime_ns
    monkeypatch.setattr(
        'mmtpr.datasets.feature_cache.dataset.encode_pairs', None
    )
    again = make()
    assert Path(again.cache, 'image.npy').stat().st_mtime_ns == stamp
    a, b = first[3]['data_samples'], again[3]['data_samples']
    assert torch.equal(a.image_feat, b.image_feat)
    assert any(line.startswith('Features are in') for line in log)


def test_cut_captions_are_counted_whenever_the_cache_is_used(tmp_path, log):
    root = write_tiny_cuhk(tmp_path / 'data', captions_per_image=3)
    dataset = dict(
        type='mmtpr.CUHKPEDES',
        data_root=str(root),
        ann_file='reid_raw.json',
        pipeline=[PLAIN[0], dict(PLAIN[1], context_length=12), PLAIN[2]],
    )
    encoder = MODELS.build(tiny_encoder_cfg(context_length=12)).eval()
    for _ in range(2):
        data = CachedFeatureDataset(dataset, encoder, tmp_path / 'cache')
    captions = [data.get_data_info(i)['caption'] for i in range(len(data))]
    tokens = open_clip.SimpleTokenizer(context_length=40)(captions)
    cut = int(((tokens != 0).sum(1) > 12).sum())
    assert 0 < cut < len(captions)
    told = [line for line in log if 'too long for the text tower' in line]
    assert len(told) == 2
    assert told[0].startswith(f'{cut} of {len(captions)} captions of CUHK')


def test_a_cache_of_another_encoder_is_refused_or_made_anew(make, log):
    first = make()[0]['data_samples'].image_feat
    torch.manual_seed(1)
    other = MODELS.build(tiny_encoder_cfg(context_length=16))
    with pytest.raises(ValueError, match=r'something else \(encoder: '):
        make(encoder=other, on_mismatch='error')
    second = make(encoder=other)[0]['data_samples'].image_feat
    assert any('it is made anew' in line for line in log)
    assert (first - second).abs().max() > 1e-3


@pytest.mark.parametrize(
    ('change', 'what'),
    [
        (dict(views=2), 'views: 1 there, 2 here'),
        (dict(pipeline=PIPELINE), 'pipeline: '),
        (dict(dtype='float16'), 'dtype: float32 there'),
    ],
)
def test_other_settings_are_noticed(make, change, what):
    make()
    with pytest.raises(ValueError, match=what):
        make(on_mismatch='error', **change)


def test_other_data_are_noticed(make, root, tmp_path):
    make()
    other = write_tiny_cuhk(tmp_path / 'other', num_ids=(4, 1, 1))
    dataset = dict(
        type='mmtpr.CUHKPEDES',
        data_root=str(other),
        ann_file='reid_raw.json',
        data_prefix=dict(img_path='imgs'),
        pipeline=PLAIN,
    )
    encoder = tiny_encoder_cfg(context_length=16)
    with pytest.raises(ValueError, match=r'data: \w{12} there, \w{12} here'):
        CachedFeatureDataset(
            dataset, encoder, tmp_path / 'cache', on_mismatch='error'
        )


def test_views_differ_and_are_drawn(make):
    data = make(pipeline=PIPELINE, views=3)
    views = np.load(f'{data.cache}/image.npy')
    assert views.shape == (6, 3, 32)
    assert np.abs(views[:, 0] - views[:, 1]).max() > 1e-3
    np.random.seed(0)
    drawn = [data[0]['data_samples'].image_feat for _ in range(30)]
    assert len({tuple(feat.tolist()) for feat in drawn}) == 3


def test_a_failed_run_leaves_no_cache(make, tmp_path):
    broken = [*PLAIN[:1], PLAIN[2]]
    with pytest.raises(ValueError, match='gives no tokens'):
        make(pipeline=broken)
    assert files(tmp_path) == []


def test_a_damaged_cache_is_named(make):
    data = make()
    Path(data.cache, 'text.npy').write_bytes(b'none')
    with pytest.raises(ValueError, match=r'text\.npy" cannot be read'):
        make()


def test_a_folder_of_something_else_is_left_alone(make, tmp_path, monkeypatch):
    precious = tmp_path / 'cache/precious.txt'
    precious.parent.mkdir()
    precious.write_text('x')
    monkeypatch.setattr(PairEncoder, 'encode', None)  # told before that
    with pytest.raises(ValueError, match='name another folder with cache'):
        make()
    assert files(tmp_path) == ['cache']
    assert files(tmp_path / 'cache') == ['precious.txt']


def test_workers_open_the_files_themselves(make):
    data = make()
    whole = data[0]['data_samples'].image_feat
    again = pickle.loads(pickle.dumps(data))
    assert torch.equal(again[0]['data_samples'].image_feat, whole)
    assert again.__getstate__()['_features'] is None


def test_a_retriever_trains_on_it(make, encoder):
    data = make()
    loader = Runner.build_dataloader(
        dict(
            batch_size=6,
            num_workers=0,
            dataset=data,
            sampler=dict(type='DefaultSampler', shuffle=True),
        ),
        seed=0,
    )
    model = MODELS.build(
        dict(
            type='mmtpr.ComposedPersonRetriever',
            encoder=encoder,
            query=dict(
                type='mmtpr.PseudoWordQuery',
                tinets=dict(type='mmtpr.TINet', hidden_dim=16),
            ),
            losses=dict(text=dict(type='mmtpr.SDMLoss')),
            freeze_encoder=True,
        )
    )
    for batch in loader:
        inputs = model.data_preprocessor(batch, True)
        loss = model(**inputs, mode='loss')['loss_text']
        assert loss.item() > 0


def test_wrong_arguments():
    with pytest.raises(ValueError, match='views must be'):
        CachedFeatureDataset(None, None, '', views=0)
    with pytest.raises(ValueError, match='dtype must be'):
        CachedFeatureDataset(None, None, '', dtype='int8')
