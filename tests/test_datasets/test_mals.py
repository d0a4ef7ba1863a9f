import json
import tracemalloc

import pytest

from mmtpr.datasets import MALS
from mmtpr.datasets.annotations.records import read_records


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


def test_a_file_named_twice_is_read_once(root, log):
    names = ['gene_attrs', './gene_attrs/../gene_attrs/./g_4x_attrs.json']
    data = MALS(data_root=str(root), ann_file=names)
    assert len(data) == 5
    (line,) = log
    assert f'more than once: 1, first "{root}/{names[1]}"' in line


class Whole(MALS):
    """Sees all records at once."""

    def load_records(self):
        return super().load_records()


def shared_image(records):
    """The image of the first shard again, of another person, then again."""
    for place, pid in ((0, 'someone'), (1, 'someone'), (2, '4x_0')):
        records[place].update(image='gene_crop/4x/0.jpg', image_id=pid)


def no_captions(records):
    records[1]['caption'], records[2]['caption'] = '', None


def number(pids):
    def change(records):
        for record, pid in zip(records, pids, strict=True):
            record['image_id'] = pid

    return change


@pytest.mark.parametrize(
    'change',
    [shared_image, no_captions, number([7, '3', 7]), number(['7', 'x', '3'])],
)
@pytest.mark.parametrize('numbers', [False, True])
@pytest.mark.parametrize('relabel', [None, False])
def test_shard_by_shard_is_what_all_at_once_is(root, change, numbers, relabel):
    """In all that a dataset says, whatever the identities are."""
    for name, alter in (
        ('4x', number([9, 4]) if numbers else lambda records: None),
        ('c_g_a_0', change),
    ):
        path = root / f'gene_attrs/g_{name}_attrs.json'
        records = json.loads(path.read_text('utf-8'))
        alter(records)
        path.write_text(json.dumps(records), 'utf-8')
    options = dict(
        data_root=str(root),
        relabel_pids=relabel,
        pid_offset=100,
        empty_captions='skip',
    )
    data, whole = MALS(**options), Whole(**options)
    assert data.metainfo == whole.metainfo
    assert data.load_report == whole.load_report
    assert data.pids().tolist() == whole.pids().tolist()
    # As the file says it, and nothing of it is kept until somebody asks.
    assert data._file_pids is None
    said = {record.pid for record in data.load_records()}
    assert {data.file_pid(pid) for pid in data.pids().tolist()} == said
    assert data.data_bytes.tobytes() == whole.data_bytes.tobytes()
    assert data.data_address.tolist() == whole.data_address.tolist()
    assert [*MALS(**options, serialize_data=False)] == [*whole]
    assert [*MALS(**options, indices=[0, 2])] == [
        dict(whole[i], sample_idx=place) for place, i in enumerate((0, 2))
    ]


def test_no_pair_and_no_folder_are_told_shard_by_shard(root):
    for path in (root / 'gene_attrs').iterdir():
        records = [dict(r, caption='') for r in shard(path.stem, 2)]
        path.write_text(json.dumps(records), 'utf-8')
    with pytest.raises(ValueError, match='No sample of the split "train"'):
        MALS(data_root=str(root), empty_captions='skip')
    (root / 'gene_attrs/g_4x_attrs.json').write_text(
        json.dumps(shard('4x', 2)), 'utf-8'
    )
    with pytest.raises(FileNotFoundError, match=r'image folder ".*absent"'):
        MALS(
            data_root=str(root),
            ann_file='gene_attrs/g_4x_attrs.json',
            data_prefix=dict(img_path='absent'),
        )


def test_a_shard_is_read_after_the_pairs_of_the_last(root, monkeypatch):
    read = []

    def spy(path, *args):
        read.append(path)
        return read_records(path, *args)

    monkeypatch.setattr('mmtpr.datasets.mals.read_records', spy)
    samples = MALS(data_root=str(root), lazy_init=True).load_samples()
    seen = [(sample['img_path'], len(read)) for sample in samples]
    assert [number for _, number in seen] == [1, 1, 2, 2, 2]


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


def test_memory_of_loading_is_that_of_a_shard(root):
    number, shards = 500, 20
    for i in range(shards):
        path = root / f'gene_attrs/g_part{i}.json'
        path.write_text(json.dumps(shard(f'part{i}', number)), 'utf-8')

    def peak(kind):
        data = kind(
            data_root=str(root),
            ann_file='gene_attrs/g_part*.json',
            lazy_init=True,
        )
        tracemalloc.start()
        assert sum(1 for _ in data.load_samples()) == number * shards
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(MALS)  # imports
    assert peak(MALS) < 0.6 * peak(Whole)
