import json
import tracemalloc

import pytest

from mmtpr.datasets import MALS


def shard(name, number, width=27, start=0):
    return [
        dict(
            image=f'gene_crop/{name}/{i}.jpg',
            caption=f'a person in {name} number {i}',
            image_id=f'{name}_{i}',
            label=[(i + j) % 3 - 1 for j in range(width)],
        )
        for i in range(start, start + number)
    ]


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / 'gene_attrs'
    folder.mkdir()
    for name, number in (('c_g_a_0', 3), ('4x', 2)):
        path = folder / f'g_{name}_attrs.json'
        path.write_text(json.dumps(shard(name, number)), 'utf-8')
    (folder / 'notes.json').write_text('{}', 'utf-8')
    return tmp_path


def test_shards_of_a_folder(root):
    data = MALS(data_root=str(root))
    assert len(data) == 5
    assert data.get_data_info(2) == dict(
        role='train',
        img_path=f'{root}/gene_crop/c_g_a_0/0.jpg',
        caption='a person in c_g_a_0 number 0',
        pid=2,
        image_id=2,
        attributes=[j % 3 - 1 for j in range(27)],
        sample_idx=2,
    )
    meta = data.metainfo
    assert (meta['num_pids'], meta['num_attributes']) == (5, 27)
    assert meta['dataset_name'] == 'MALS'


@pytest.mark.parametrize(
    'ann_file',
    [
        'gene_attrs/g_*.json',
        ['gene_attrs/g_4x_attrs.json', 'gene_attrs/g_c*.json'],
        ['gene_attrs', 'gene_attrs/g_4x_attrs.json'],
    ],
)
def test_patterns_and_lists(root, ann_file):
    data = MALS(data_root=str(root), ann_file=ann_file)
    assert [data.get_data_info(i)['pid'] for i in range(5)] == list(range(5))
    assert data.get_data_info(0)['img_path'].endswith('4x/0.jpg')


def test_one_file_and_image_folder(root):
    (root / 'images').mkdir()
    data = MALS(
        data_root=str(root),
        ann_file='gene_attrs/g_4x_attrs.json',
        data_prefix=dict(img_path='images'),
    )
    path = data.get_data_info(1)['img_path']
    assert path == f'{root}/images/gene_crop/4x/1.jpg'


def test_images_of_one_identity_share_a_pid(root):
    records = shard('x', 3)
    records[2]['image_id'] = records[0]['image_id']
    path = root / 'gene_attrs/g_x.json'
    path.write_text(json.dumps(records), 'utf-8')
    data = MALS(data_root=str(root), ann_file=str(path))
    assert [data.get_data_info(i)['pid'] for i in range(3)] == [0, 1, 0]


def test_no_match_names_the_pattern(root):
    with pytest.raises(FileNotFoundError, match=r'gene_attrs/h_\*\.json"'):
        MALS(
            data_root=str(root), ann_file=['gene_attrs', 'gene_attrs/h_*.json']
        )


@pytest.mark.parametrize(
    ('change', 'expected'),
    [
        (dict(label=[1] * 26), 'Record 1 of "{}" has 26 attributes'),
        (dict(label='many'), 'Record 1 of "{}": the key "label" must hold'),
        (dict(label=[1000] * 27), 'the key "label" must hold a list of small'),
        (dict(caption=''), 'Record 1 of "{}" has no caption'),
        (dict(image=None), 'Record 1 of "{}": the key "image"'),
    ],
)
def test_a_bad_record_names_its_shard(root, change, expected):
    path = root / 'gene_attrs/g_c_g_a_0_attrs.json'
    records = shard('c_g_a_0', 3)
    records[1].update(change)
    path.write_text(json.dumps(records), 'utf-8')
    with pytest.raises(ValueError, match=r'label|caption|image') as caught:
        MALS(data_root=str(root))
    assert expected.format(path) in str(caught.value)


def test_a_cut_off_shard_is_named(root):
    path = root / 'gene_attrs/g_c_g_a_0_attrs.json'
    path.write_text(path.read_text('utf-8')[:300], 'utf-8')
    with pytest.raises(ValueError, match='is not valid json') as caught:
        MALS(data_root=str(root))
    assert str(path) in str(caught.value)


def test_without_attributes(root):
    path = root / 'plain.json'
    records = shard('x', 2)
    for record in records:
        del record['label']
    path.write_text(json.dumps(records), 'utf-8')
    data = MALS(data_root=str(root), ann_file='plain.json')
    assert 'attributes' not in data.get_data_info(0)


def test_memory_for_each_pair(root):
    """1.5 M pairs must fit: what stays and what loading needs on top."""
    number = 5_000
    path = root / 'gene_attrs/g_big.json'
    path.write_text(json.dumps(shard('big', number)), 'utf-8')
    tracemalloc.start()
    data = MALS(data_root=str(root), ann_file=str(path))
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(data) == number
    assert kept / number < 400
    assert peak / number < 4000
