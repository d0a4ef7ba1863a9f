"""ITCPR: queries of an image and a sentence, and the gallery."""

import gzip
import json

import mmcv
import numpy as np
import pytest
import torch

from mmtpr.datasets.annotations.composed_records import (
    check_composed_records,
)
from mmtpr.datasets.itcpr import ITCPR
from mmtpr.evaluation import rank_metrics


def record(path, instance, caption=None):
    item = dict(
        file_path=path, datasets='X', person_id=1, instance_id=instance
    )
    return item if caption is None else dict(item, caption=caption)


@pytest.fixture
def write(tmp_path):
    def to_disk(queries, gallery, folder=''):
        root = tmp_path / folder
        root.mkdir(exist_ok=True)
        (root / 'query.json').write_text(json.dumps(queries))
        (root / 'gallery.json').write_text(json.dumps(gallery))
        return str(tmp_path)

    return to_disk


QUERIES = [record('a.jpg', 1, 'in red'), record('b.jpg', 2, 'in blue')]
GALLERY = [record('c.jpg', 1), record('d.jpg', 2), record('a.jpg', -1)]


@pytest.mark.parametrize('folder', ['', 'datasets'])
def test_queries_then_gallery_from_root_or_datasets(write, folder):
    data = ITCPR(data_root=write(QUERIES, GALLERY, folder))
    assert [s['role'] for s in data] == ['query'] * 2 + ['gallery'] * 3
    assert data[0]['caption'] == 'in red'
    assert data[0]['img_path'].endswith('/a.jpg')
    assert data[0]['image_id'] == data[4]['image_id']
    assert data.metainfo['num_distractors'] == 1


def test_repeated_gallery_paths_are_kept_and_counted(write):
    gallery = [*GALLERY, record('c.jpg', 2)]
    data = ITCPR(data_root=write(QUERIES, gallery))
    assert data.metainfo['num_gallery'] == 4
    assert len(data.load_report['repeated_paths']) == 1


def test_query_without_caption(write):
    root = write([record('a.jpg', 1), *QUERIES], GALLERY)
    with pytest.raises(ValueError, match=r'Record 0 .*query.json.*caption'):
        ITCPR(data_root=root)
    data = ITCPR(data_root=root, empty_captions='skip')
    assert data.load_report['empty_captions'] == [0]
    assert data.metainfo['num_queries'] == 2


def test_query_without_target(write):
    root = write([*QUERIES, record('e.jpg', 9, 'gone')], GALLERY)
    with pytest.raises(ValueError, match=r'1 queries.*first 9 \("e.jpg"\)'):
        ITCPR(data_root=root)
    data = ITCPR(data_root=root, missing_targets='skip')
    assert data.load_report['missing_targets'] == [9]


def test_distractor_id_is_no_target(write):
    root = write([record('a.jpg', -1, 'nobody')], GALLERY)
    with pytest.raises(ValueError, match='first -1'):
        ITCPR(data_root=root)


def test_missing_images_are_skipped_and_counted(write):
    root = write(QUERIES, GALLERY)
    for name in 'acd':
        mmcv.imwrite(np.zeros((8, 4, 3), np.uint8), f'{root}/{name}.jpg')
    data = ITCPR(data_root=root, broken_images='skip')
    assert data.load_report['broken_images'] == [f'{root}/b.jpg']
    assert data.metainfo['num_queries'] == 1


def test_nothing_left_is_an_error(write):
    with pytest.raises(ValueError, match=r'No query .*broken_images'):
        ITCPR(
            data_root=write(QUERIES, GALLERY),
            broken_images='skip',
            missing_targets='skip',
        )


@pytest.mark.parametrize(
    ('path', 'message'), [('  ', 'is empty'), (None, 'str, found NoneType')]
)
def test_query_without_reference_image(write, path, message):
    root = write([record(path, 1, 'in red'), *QUERIES], GALLERY)
    with pytest.raises(ValueError, match=f'Record 0 .*"file_path".*{message}'):
        ITCPR(data_root=root)


def test_missing_key_names_file_record_and_key(write):
    del (bad := record('c.jpg', 1))['instance_id']
    with pytest.raises(ValueError, match=r'Record 0 .*"instance_id"'):
        ITCPR(data_root=write(QUERIES, [bad]))


def test_published_annotations(itcpr_dir, tmp_path):
    for name in ('query', 'gallery'):
        packed = itcpr_dir / f'{name}.json.gz'
        (tmp_path / f'{name}.json').write_bytes(
            gzip.decompress(packed.read_bytes())
        )
    data = ITCPR(data_root=str(tmp_path))
    assert data.metainfo['num_queries'] == 2202
    assert data.metainfo['num_gallery'] == 20510
    assert data.metainfo['num_distractors'] == 18285
    assert len(data.load_report['repeated_paths']) == 2
    ids = torch.tensor(
        [data.get_data_info(i)['instance_id'] for i in range(len(data))]
    )
    query, gallery = ids[:2202], ids[2202:]
    assert int((gallery != -1).sum()) == 2225
    oracle = (query[:, None] == gallery[None]).float()
    found = rank_metrics(oracle, query, gallery)
    assert found['R@1'] == found['mAP'] == 100
    torch.manual_seed(0)
    chance = rank_metrics(torch.rand(oracle.shape), query, gallery)
    assert chance['R@1'] < 0.5


def test_market_queries_load_and_can_be_found(market_dir):
    data = ITCPR(
        data_root=str(market_dir),
        query_file='cpr_query.json',
        gallery_file='cpr_gallery.json',
        data_prefix=dict(img_path='imgs'),
    )
    assert data.metainfo['num_queries'] == 132
    assert data.metainfo['num_gallery'] == 1068
    samples = [data.get_data_info(i) for i in range(len(data))]
    assert all(s['caption'] for s in samples[:132])
    shape = mmcv.imread(samples[0]['img_path']).shape
    assert shape == mmcv.imread(samples[-1]['img_path']).shape == (128, 64, 3)
    ids = torch.tensor([s['instance_id'] for s in samples])
    oracle = (ids[:132, None] == ids[None, 132:]).float()
    assert rank_metrics(oracle, ids[:132], ids[132:])['mAP'] == 100


@pytest.mark.parametrize(
    ('caption', 'kept'),
    [
        (['in red'], 'in red'),
        ('in red', 'in red'),
        *(([], None), (None, None), ([None], None)),
        *((float('nan'), None), ([' '], None)),
    ],
)
def test_a_list_of_one_sentence_is_taken(caption, kept):
    record = dict(file_path='a.jpg', caption=caption)
    args = ([record], dict(file_path=str), 'query.json', ('caption',), 'skip')
    records, skipped = check_composed_records(*args)
    assert [r['caption'] for r in records] == ([kept] if kept else [])
    assert skipped == ([] if kept else [0])


@pytest.mark.parametrize('caption', [['a', 'b'], 7, dict(text='a')])
def test_what_is_no_sentence(caption):
    record = dict(file_path='a.jpg', caption=caption)
    match = r'Record 0 of "query.json": the key "caption" must hold a sentence'
    with pytest.raises(ValueError, match=match):
        check_composed_records(
            [record], dict(file_path=str), 'query.json', ('caption',), 'skip'
        )


def test_queries_may_have_several_references_and_negatives(write):
    several = record(['a.jpg', 'e.jpg'], 1, 'in red')
    without = record('b.jpg', 2, 'in blue')
    queries = [
        dict(several, negative_text='in white', negative_weight=None),
        dict(without, negative_text='a hat', negative_weight=0.9),
        *QUERIES,
    ]
    root = write(queries, GALLERY)
    data = ITCPR(data_root=root, negative_weight=0.3)
    paths = [path.rsplit('/', 1)[1] for path in data[0]['img_path']]
    assert paths == ['a.jpg', 'e.jpg']
    assert data[0]['image_id'] == data[6]['image_id']  # of the first
    assert (data[0]['negative_text'], data[0]['negative_weight']) == (
        'in white',
        0.3,
    )
    assert data[1]['negative_weight'] == 0.9
    plain = ITCPR(data_root=write(QUERIES, GALLERY), negative_weight=0.3)
    assert data[2].keys() == plain[0].keys()
    assert 'negative_text' not in plain[0]


def test_wrong_references_and_negatives_are_named(write):
    for wrong, why in (
        (record(['a.jpg', 3], 1, 'in red'), 'must hold str, found int'),
        (record(['a.jpg', ''], 1, 'in red'), 'is empty'),
        (record([], 1, 'in red'), 'must hold str, found list'),
        (dict(QUERIES[0], negative_text=''), 'Record 0 .*with words'),
        (dict(QUERIES[0], negative_weight=1), 'Record 0 .*without negative'),
    ):
        with pytest.raises(ValueError, match=why):
            ITCPR(data_root=write([wrong], GALLERY)).full_init()
    gallery = [record(['c.jpg', 'd.jpg'], 1)]
    with pytest.raises(ValueError, match='must hold str, found list'):
        ITCPR(data_root=write(QUERIES, gallery)).full_init()
    with pytest.raises(ValueError, match='a positive number'):
        ITCPR(data_root=write(QUERIES, GALLERY), negative_weight=0)


def test_a_missing_reference_of_several_drops_the_query(write):
    root = write(
        [record(['a.jpg', 'none.jpg'], 1, 'in red'), *QUERIES], GALLERY
    )
    for name in 'abcd':
        mmcv.imwrite(np.zeros((4, 4, 3), np.uint8), f'{root}/{name}.jpg')
    data = ITCPR(data_root=root, missing_images='skip')
    assert data.metainfo['num_queries'] == 2
