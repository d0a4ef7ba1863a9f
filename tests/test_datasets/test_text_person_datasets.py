import gc
import json
import pickle
from pathlib import Path

import pytest
from mmengine.dataset import ConcatDataset, RepeatDataset
from mmengine.runner import Runner

from mmtpr.datasets import CUHKPEDES, ICFGPEDES, RSTPReid
from mmtpr.registry import DATASETS
from mmtpr.testing import write_tiny_data


def infos(dataset):
    return [dataset.get_data_info(i) for i in range(len(dataset))]


def test_train_has_one_sample_for_each_image_and_caption(write, records):
    root = write(records)
    data = CUHKPEDES(data_root=root)
    assert len(data) == 16
    samples = infos(data)
    assert samples[1] == dict(
        role='train',
        img_path=str(Path(root) / 'imgs/cam/10_0.jpg'),
        caption='This is 10 0',
        pid=0,
        image_id=0,
        sample_idx=1,
    )
    assert [s['pid'] for s in samples] == [p for p in range(4) for _ in '1234']
    assert [s['image_id'] for s in samples] == [i // 2 for i in range(16)]
    assert data.metainfo == dict(
        dataset_name='CUHK-PEDES',
        split='train',
        num_pids=4,
        num_images=8,
        num_captions=16,
    )


@pytest.mark.parametrize(
    ('split', 'pids'), [('val', (14, 15)), ('test', (16, 17))]
)
def test_eval_splits_hold_queries_then_gallery(write, records, split, pids):
    data = CUHKPEDES(data_root=write(records), split=split)
    samples = infos(data)
    assert [s['role'] for s in samples] == ['query'] * 8 + ['gallery'] * 4
    assert all('img_path' not in s and s['caption'] for s in samples[:8])
    assert all('caption' not in s for s in samples[8:])
    assert [s['pid'] for s in samples[8:]] == [p for p in pids for _ in '12']
    # a query knows the image it was written for
    assert [s['image_id'] for s in samples[:8]] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [s['image_id'] for s in samples[8:]] == [0, 1, 2, 3]


def test_training_persons_can_be_evaluated(write, records):
    data = CUHKPEDES(data_root=write(records), form='retrieval')
    assert [s['role'] for s in infos(data)].count('gallery') == 8
    assert {s['pid'] for s in infos(data)} == {10, 11, 12, 13}


def test_labels_can_be_kept_or_moved(write, records):
    root = write(records)
    kept = CUHKPEDES(data_root=root, relabel_pids=False)
    assert {s['pid'] for s in infos(kept)} == {10, 11, 12, 13}
    moved = CUHKPEDES(data_root=root, pid_offset=100)
    assert {s['pid'] for s in infos(moved)} == {100, 101, 102, 103}
    both = CUHKPEDES(data_root=root, relabel_pids=False, pid_offset=100)
    assert {s['pid'] for s in infos(both)} == {110, 111, 112, 113}


def test_a_gap_in_the_pids_needs_no_care(write, records):
    for record in records:
        if record['id'] >= 12:
            record['id'] += 1000
    data = CUHKPEDES(data_root=write(records))
    assert sorted({s['pid'] for s in infos(data)}) == [0, 1, 2, 3]
    plain = CUHKPEDES(data_root=write(records), relabel_pids=False)
    assert sorted({s['pid'] for s in infos(plain)}) == [10, 11, 1012, 1013]


def test_caption_all_is_split_by_the_order_of_ids(write, records):
    for record in records[::-1]:
        del record['split']
    root = write(records[::-1], 'caption_all.json')
    kwargs = dict(
        data_root=root, ann_file='caption_all.json', split_pids=(4, 2, 2)
    )
    train = CUHKPEDES(**kwargs, relabel_pids=False)
    test = CUHKPEDES(**kwargs, split='test')
    assert {s['pid'] for s in infos(train)} == {10, 11, 12, 13}
    assert {s['pid'] for s in infos(test)} == {16, 17}


def test_caption_all_with_other_numbers_warns(write, records, log):
    """The ids of another numbering would be split wrongly in silence."""
    content = [
        dict(id=pid, file_path=f'{pid}.jpg', captions=['A man.'])
        for pid in range(1, 13004)
    ]
    root = write(content, 'caption_all.json', key='nothing')
    data = CUHKPEDES(data_root=root, ann_file='caption_all.json', split='test')
    assert data.metainfo['num_pids'] == 1000
    (line,) = [line for line in log if 'published are' in line]
    assert 'have [11003, 1000, 1000] images' in line
    assert 'published are [34054, 3078, 3074]' in line


@pytest.mark.parametrize('as_list', [True, False])
def test_processed_files_of_aptm(write, as_list):
    content = [
        dict(
            image=f'imgs/cam/{i}.jpg',
            image_id=i // 2,
            caption=['A man.', 'He.'] if as_list else 'A man.',
        )
        for i in range(4)
    ]
    # the image folder's name is repeated in the paths
    root = write(content, 'cuhk_val.json', images='.', key='image')
    data = CUHKPEDES(data_root=root, ann_file='cuhk_val.json', split='val')
    number = 8 if as_list else 4
    assert data.metainfo['num_captions'] == number
    assert [s['pid'] for s in infos(data)[number:]] == [0, 0, 1, 1]
    assert Path(data.get_data_info(-1)['img_path']).exists()


def test_layout_can_be_named(write, records):
    root = write(records)
    data = CUHKPEDES(
        data_root=root, layout='caption_all', split_pids=(2, 4, 2)
    )
    assert data.metainfo['num_pids'] == 2
    with pytest.raises(ValueError, match="layout='rstp' of CUHKPEDES"):
        CUHKPEDES(data_root=root, layout='rstp')


def test_icfg_val_is_carved_out_of_train(write, records):
    for record in records:
        record['split'] = record['split'].replace('val', 'train')
        record['captions'] = record['captions'][:1]
    root = write(records, 'ICFG-PEDES.json')
    kwargs = dict(data_root=root, val_pids=2, relabel_pids=False)
    train = ICFGPEDES(split='train', **kwargs)
    val = ICFGPEDES(split='val', **kwargs)
    test = ICFGPEDES(split='test', data_root=root)
    pids = [{s['pid'] for s in infos(d)} for d in (train, val, test)]
    assert pids == [{11, 12, 14, 15}, {10, 13}, {16, 17}]
    assert train.metainfo['num_pids'] == 4
    assert [s['role'] for s in infos(val)] == ['query'] * 4 + ['gallery'] * 4


def test_rstp_layout(write, records):
    for record in records:
        record['img_path'] = record.pop('file_path')
    root = write(records, 'data_captions.json', key='img_path')
    sizes = [len(RSTPReid(data_root=root, split=s)) for s in ('train', 'test')]
    assert sizes == [16, 8 + 4]


def test_a_image_listed_twice_is_one_gallery_item(write, records):
    data = CUHKPEDES(data_root=write([*records, records[-1]]), split='test')
    roles = [s['role'] for s in infos(data)]
    assert (roles.count('query'), roles.count('gallery')) == (10, 4)


def test_unserialized_indices_and_pickle_agree(write, records):
    root = write(records)
    packed = CUHKPEDES(data_root=root)
    plain = CUHKPEDES(data_root=root, serialize_data=False)
    assert infos(packed) == infos(plain)
    assert infos(pickle.loads(pickle.dumps(packed))) == infos(plain)
    assert infos(CUHKPEDES(data_root=root, indices=3)) == infos(plain)[:3]
    assert infos(packed.get_subset([5]))[0]['caption'] == 'This is 11 0'


def test_the_collector_works_again_after_loading(tmp_path, write, records):
    with pytest.raises(FileNotFoundError):
        CUHKPEDES(data_root=str(tmp_path / 'nowhere'))
    assert gc.isenabled()
    CUHKPEDES(data_root=write(records))
    assert gc.isenabled()


def test_wrappers_of_mmengine(write, records):
    cfg = dict(type='mmtpr.CUHKPEDES', data_root=write(records))
    repeated = RepeatDataset(dataset=DATASETS.build(cfg), times=3)
    assert len(repeated) == 48
    offset = DATASETS.build({**cfg, 'pid_offset': 4})
    joined = ConcatDataset([DATASETS.build(cfg), offset])
    assert {s['pid'] for s in infos(joined)} == set(range(8))


def test_different_sets_can_be_joined(tmp_path):
    root = str(write_tiny_data(tmp_path))
    first = dict(type='mmtpr.CUHKPEDES', data_root=root)
    second = dict(type='mmtpr.RSTPReid', data_root=root, pid_offset=6)
    counts = ('num_pids', 'num_images', 'num_captions')
    joined = ConcatDataset(
        [DATASETS.build(first), DATASETS.build(second)],
        ignore_keys=['dataset_name', *counts],
    )
    assert {s['pid'] for s in infos(joined)} == set(range(12))


def test_data_loader_of_the_runner(tmp_path):
    image = dict(
        type='mmtpr.ImageTransforms',
        transforms=[
            dict(type='LoadImageFromFile'),
            dict(type='mmtpr.PadCrop', padding=4),
            dict(type='mmtpr.RandomErasingMean'),
        ],
    )
    pipeline = [
        image,
        dict(type='mmtpr.TokenizeCaption', context_length=24),
        dict(type='mmtpr.MaskTokens'),
        dict(type='mmtpr.PackRetrievalInputs'),
    ]
    loader = dict(
        batch_size=4,
        num_workers=2,
        sampler=dict(
            type='mmtpr.IdentitySampler', num_pids=2, num_instances=2
        ),
        dataset=dict(
            type='mmtpr.CUHKPEDES',
            data_root=str(write_tiny_data(tmp_path)),
            pipeline=pipeline,
        ),
    )
    batches = list(Runner.build_dataloader(loader, seed=1))
    assert len(batches) == 6
    for batch in batches:
        pids = [sample.pid for sample in batch['data_samples']]
        assert len(set(pids)) == 2
        shapes = {tuple(image.shape) for image in batch['inputs']['image']}
        assert shapes == {(3, 64, 32)}
        assert all(s.mlm_tokens.shape == (24,) for s in batch['data_samples'])
    again = list(Runner.build_dataloader(loader, seed=1))
    for one, other in zip(batches, again, strict=True):
        for a, b in zip(
            one['inputs']['image'], other['inputs']['image'], strict=True
        ):
            assert a.equal(b)


def test_pipeline_runs_on_each_kind_of_sample(write, records):
    pipeline = [
        dict(
            type='mmtpr.ImageTransforms',
            transforms=[dict(type='LoadImageFromFile')],
        ),
        dict(type='mmtpr.PackRetrievalInputs'),
    ]
    data = CUHKPEDES(data_root=write(records), split='val', pipeline=pipeline)
    query, item = data[0], data[len(data) - 1]
    assert query['inputs'] == dict(image=None)
    assert tuple(item['inputs']['image'].shape) == (3, 24, 12)
    assert item['data_samples'].role == 'gallery'


def test_all_sets_read_the_tiny_data(tmp_path):
    root = str(write_tiny_data(tmp_path))
    sizes = {
        name: len(DATASETS.build(dict(type=f'mmtpr.{name}', data_root=root)))
        for name in ('CUHKPEDES', 'ICFGPEDES', 'RSTPReid', 'MALS')
    }
    assert sizes == dict(CUHKPEDES=24, ICFGPEDES=32, RSTPReid=24, MALS=12)


@pytest.mark.parametrize(
    ('kind', 'file'),
    [(CUHKPEDES, 'reid_raw.json'), (RSTPReid, 'data_captions.json')],
)
def test_real_data(market_dir, kind, file):
    expected = dict(
        train=(120, 720, 1440), val=(30, 180, 360), test=(50, 300, 600)
    )
    seen = []
    for split, numbers in expected.items():
        data = kind(
            data_root=str(market_dir),
            ann_file=file,
            split=split,
            relabel_pids=False,
        )
        meta = data.metainfo
        found = tuple(
            meta[f'num_{name}'] for name in ('pids', 'images', 'captions')
        )
        assert found == numbers
        assert Path(data.get_data_info(-1)['img_path']).is_file()
        seen.append({s['pid'] for s in infos(data)})
    names = json.loads((market_dir / 'ids.json').read_text('utf-8'))
    assert set.union(*seen) == set(names['market_pid_to_id'].values())
    assert sum(map(len, seen)) == 200
