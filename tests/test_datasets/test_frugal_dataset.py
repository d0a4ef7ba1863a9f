"""What lies in memory of a dataset, and what passes through it."""

import json
import tracemalloc

import numpy as np
import pytest

from mmtpr.datasets import CUHKPEDES, ITCPR, SynCPR
from mmtpr.datasets.annotations import records as records_module
from mmtpr.datasets.annotations.records import iter_records, read_records
from mmtpr.datasets.frugal_dataset import FrugalDataset, drain
from mmtpr.testing import write_tiny_cuhk
from mmtpr.utils.io import iter_json_list


class Numbers(FrugalDataset):
    """20 samples."""

    def load_samples(self):
        self.taken = []
        for i in range(20):
            self.taken.append(i)
            yield dict(img_path=f'{i}.jpg', number=i)


def triplet(number, caption='now in blue'):
    return dict(
        reference_image_path=f'{number}_r.jpg',
        target_image_path=f'{number}_t.jpg',
        reference_caption=f'a man in red, {number}',
        target_caption=f'a man in blue, {number}',
        edit_caption=caption,
        cpr_id=number // 2,
    )


@pytest.mark.parametrize(
    'options',
    [{}, dict(serialize_data=False), dict(indices=[3, 5]), dict(indices=4)],
)
def test_samples_are_those_of_the_list(options):
    data = Numbers(data_prefix=dict(img_path='imgs'), **options)
    numbers = dict(enumerate(range(20)))
    if 'indices' in options:
        chosen = options['indices']
        chosen = range(chosen) if isinstance(chosen, int) else chosen
        numbers = dict(enumerate(chosen))
    assert len(data) == len(numbers)
    for index, number in numbers.items():
        info = data.get_data_info(index)
        assert info == dict(
            img_path=f'imgs/{number}.jpg', number=number, sample_idx=index
        )
    subset = data.get_subset([1])
    assert subset.get_data_info(0)['number'] == numbers[1]


def test_a_subclass_may_change_the_list():
    class Fewer(Numbers):
        def load_data_list(self):
            return super().load_data_list()[::-1]

        def filter_data(self):
            return [x for x in self.data_list if x['number'] % 2]

    data = Fewer(data_prefix=dict(img_path='imgs'))
    assert [x['number'] for x in data] == [*range(19, 0, -2)]


def test_no_list_is_made_of_what_is_serialized():
    class Never(Numbers):
        def _serialize_data(self):
            raise AssertionError

    assert Numbers(data_prefix=dict(img_path='')).data_list == []
    with pytest.raises(AssertionError):  # one that brings its own is asked
        Never(data_prefix=dict(img_path=''))
    with pytest.raises(NotImplementedError, match='method load_samples'):
        FrugalDataset(data_prefix=dict(img_path=''))


def test_drained_items_are_let_go():
    items = [object() for _ in range(3)]
    left = [len(items) for _ in drain(items)]
    assert left == [2, 1, 0]


@pytest.mark.parametrize('error', [AttributeError, OSError, TypeError])
def test_other_c_libraries_have_no_trim(monkeypatch, error):
    def fails(name):
        raise error

    monkeypatch.setattr('ctypes.CDLL', fails)
    assert len(Numbers(data_prefix=dict(img_path=''))) == 20


def test_the_image_folder_is_not_kept(tmp_path):
    write_tiny_cuhk(tmp_path / 'cuhk')
    (tmp_path / 'SynCPR.json').write_text(
        json.dumps([triplet(i) for i in range(6)])
    )
    item = dict(file_path='a.jpg', person_id=1, instance_id=1, caption='red')
    for name in ('query', 'gallery'):
        (tmp_path / f'{name}.json').write_text(json.dumps([item]))
    root = str(tmp_path)
    for data in (
        CUHKPEDES(data_root=f'{root}/cuhk'),
        SynCPR(data_root=root),
        SynCPR(data_root=root, split='val', val_ids=1),
        ITCPR(data_root=root),
    ):
        assert root.encode() not in data.data_bytes.tobytes()
        info = data.get_data_info(0)
        paths = [v for k, v in info.items() if k.endswith('_path')]
        assert paths
        assert all(path.startswith(root) for path in paths)


def test_val_triplets_do_not_make_all(tmp_path):
    """2 of 5,000 groups: the text of the file, but not its records."""
    file = tmp_path / 'SynCPR.json'
    file.write_text(json.dumps([triplet(i) for i in range(10000)]))
    size = file.stat().st_size
    kwargs = dict(data_root=str(tmp_path), split='val', val_ids=2)
    SynCPR(**kwargs)
    tracemalloc.start()
    try:
        data = SynCPR(**kwargs)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(data) == 4 + 8
    assert peak < 2.8 * size  # 5 times it with all records as objects


@pytest.mark.parametrize('split', ['train', 'val'])
def test_triplets_are_read_once(tmp_path, monkeypatch, split):
    """More than are pickled together; some without sentence."""
    records = [triplet(i, f'now {i}' if i % 9 else '') for i in range(2100)]
    (tmp_path / 'SynCPR.json').write_text(json.dumps(records))
    read = []

    def spy(path):
        read.append(path)
        return iter_json_list(path)

    monkeypatch.setattr(records_module, 'iter_json_list', spy)
    data = SynCPR(
        data_root=str(tmp_path), split=split, val_ids=9, empty_captions='skip'
    )
    assert len(read) == 1
    assert data.load_report['empty_captions'] == [*range(0, 2100, 9)]
    kept = [r for r in records if r['edit_caption']]
    groups = sorted({r['cpr_id'] for r in kept})
    chosen = {
        groups[i] for i in np.random.default_rng(0).permutation(1050)[:9]
    }
    if split == 'train':
        chosen = set(groups) - chosen
    wanted = [r for r in kept if r['cpr_id'] in chosen]
    found = [data[i] for i in range(len(wanted))]
    number = {cpr_id: i for i, cpr_id in enumerate(sorted(chosen))}
    assert [x['pid'] for x in found] == [number[r['cpr_id']] for r in wanted]
    assert [x['caption'] for x in found] == [r['edit_caption'] for r in wanted]


@pytest.mark.parametrize(
    ('text', 'number'),
    [
        ('[{"a": 1}]', 1),
        ('\ufeff \n[ {"a": 1} ,\r\n{"b": [1, {"c": "]"}]}\t] \n', 2),
        ('[1, "x", null, [2]]', 4),
    ],
)
def test_items_of_a_list_one_by_one(tmp_path, text, number):
    (tmp_path / 'x.json').write_text(text, 'utf-8')
    whole = json.loads(text.lstrip('\ufeff'))
    assert len(whole) == number
    assert list(iter_json_list(tmp_path / 'x.json')) == whole


@pytest.mark.parametrize(
    'text',
    [
        *('', '[', '[]', '{}', '[1', '[1,', '[1,]', '[1 2]', '[1]]', '[1] x'),
        *('[{"a": 1}]\n{"b": 2}', '{"a": 1}\n{"b": 2}', '<html>', '[1}]'),
    ],
)
def test_what_is_no_list_gets_the_message_of_the_whole(tmp_path, text):
    path = tmp_path / 'x.json'
    path.write_text(text)
    with pytest.raises(ValueError) as wanted:  # noqa: PT011
        read_records(str(path))
    with pytest.raises(ValueError) as found:  # noqa: PT011
        list(iter_records(str(path)))
    assert str(found.value) == str(wanted.value)


def test_other_faults_of_files(tmp_path):
    (tmp_path / 'x.json').write_bytes('[{"a": "\u7ea2"}]'.encode('gb18030'))
    with pytest.raises(ValueError, match='text in GBK'):
        list(iter_records(str(tmp_path / 'x.json')))
    for path in (tmp_path, tmp_path / 'absent.json'):
        with pytest.raises(FileNotFoundError, match='Check data_root'):
            list(iter_records(str(path)))


def test_no_record_comes_twice(tmp_path, monkeypatch):
    """Where one by one fails and the whole does not."""

    def fails(path):
        yield from [0, 1]
        raise ValueError

    (tmp_path / 'x.json').write_text('[0, 1, 2]')
    monkeypatch.setattr(records_module, 'iter_json_list', fails)
    assert list(iter_records(str(tmp_path / 'x.json'))) == [0, 1, 2]


def test_a_filter_that_nothing_reads():
    with pytest.raises(ValueError, match='of Numbers: nothing filters by it'):
        Numbers(filter_cfg=dict(least=3))


def test_paths_with_a_scheme_stay():
    data = Numbers(data_prefix=dict(img_path='imgs'))
    assert data.image_path('http://host/a.jpg') == 'http://host/a.jpg'


def test_images_of_a_host_that_does_not_answer(tmp_path):
    write_tiny_cuhk(tmp_path)
    prefix = dict(img_path='http://127.0.0.1:9/')
    with pytest.raises(ConnectionError, match=r'"http://.*be downloaded'):
        CUHKPEDES(str(tmp_path / 'reid_raw.json'), data_prefix=prefix)
