import json

import pytest
import torch
from mmengine.logging import MMLogger

from mmtpr.filtering import own_indices, read_captions, sample_bank

CAPTIONS = [f'caption {i}' for i in range(200)]


@pytest.mark.smoke
def test_draw_without_replacement_is_seeded():
    bank = sample_bank(CAPTIONS + CAPTIONS, 50, seed=3)
    assert len(bank) == len(set(bank)) == 50
    assert set(bank) <= set(CAPTIONS)
    assert bank == sample_bank(CAPTIONS[::-1], 50, seed=3)
    assert bank != sample_bank(CAPTIONS, 50, seed=4)
    assert bank == sample_bank(CAPTIONS, 80, seed=3)[:50]


def test_what_is_left_out_is_counted(tmp_path):
    file = tmp_path / 'run.log'
    MMLogger.get_instance('bank', log_file=str(file))
    sample_bank(iter(['a', 'b', 'c']), 2, source='x.txt')
    assert 'Bank' not in file.read_text()
    sample_bank(iter(['a', 'b', 'a', ' ', 'a']), 2, source='x.txt')
    assert (
        'Bank, from x.txt: of 5 entries 2 repeat an earlier one and 1 are '
        'empty; it is drawn from the 2 different ones.'
    ) in file.read_text()


def test_draw_is_even():
    hits = sum('caption 7' in sample_bank(CAPTIONS, 50, s) for s in range(400))
    assert 70 < hits < 130  # 100 expected


def test_draw_is_the_same_forever():
    assert sample_bank('abcd', 4, seed=0) == ['a', 'c', 'b', 'd']


def test_too_few_captions():
    captions = ['one', 'two', 'two', ' ', '']
    with pytest.raises(
        ValueError,
        match=r'bank of 3 captions was asked for, but the captions of x.json '
        r'hold only 2 different ones\. Ask for fewer',
    ):
        sample_bank(captions, 3, source='the captions of x.json')
    assert sorted(sample_bank(captions, 3, allow_smaller=True)) == [
        'one',
        'two',
    ]
    with pytest.raises(ValueError, match='only 0 different'):
        sample_bank([], 3, allow_smaller=True)
    with pytest.raises(ValueError, match='must be positive, got 0'):
        sample_bank(captions, 0)


def test_own_captions_are_found_by_text():
    index = own_indices(['b', 'x', 'a', 'b'], ['a', 'b'])
    assert index.tolist() == [1, -1, 0, 1]
    assert index.dtype == torch.long


def test_read_text_file(tmp_path):
    path = tmp_path / 'bank.txt'
    path.write_text('a man\n\n  a woman \n', encoding='utf-8')
    assert read_captions(path) == ['a man', 'a woman']


@pytest.mark.parametrize(
    'content',
    [
        ['x', 'y'],
        [dict(caption='x'), dict(caption='y', id=3)],
        [dict(captions=['x', 'y'], split='train')],
    ],
)
def test_read_json_file(tmp_path, content):
    path = tmp_path / 'bank.json'
    path.write_text(json.dumps(content))
    assert read_captions(path) == ['x', 'y']


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('b.json', '[1]', 'Entry 0 of the bank .* holds no caption'),
        ('b.json', '["x", {"id": 2}]', 'Entry 1 of the bank'),
        ('b.json', '{"x": 1}', 'must hold a json list'),
        ('b.json', '["x"', 'line 1, column'),
        ('b.csv', 'x', r'must be a .json or .txt file of captions, or a .py'),
    ],
)
def test_files_that_are_no_bank(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_captions(path)


@pytest.mark.parametrize('name', ['b.txt', 'b.json'])
def test_missing_file(tmp_path, name):
    with pytest.raises(FileNotFoundError, match='does not exist'):
        read_captions(tmp_path / name)
