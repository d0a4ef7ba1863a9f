"""Reading json: what is wrong with a file, and what cures it."""

import pytest

from mmtpr.utils import read_json


@pytest.mark.parametrize(
    ('content', 'match'),
    [
        ('[1]'.encode('utf-16'), r'is UTF-16 text\. Save it as UTF-8'),
        (
            '["\u7a7f\u7ea2\u8272\u5916\u5957"]'.encode('gbk'),
            r'text in GBK, or another encoding',
        ),
        (b'["\xff\xff\xff"', r'not UTF-8 text \(byte 2\)'),
        (b'{"a": 1}\n{"a": 2}\n', r'a record a line \(JSON Lines\)'),
        (b'<!DOCTYPE html>', r'is a web page, not json: get it again'),
        (b'version https://git-lfs', r'is a git-lfs pointer, not json'),
        (b'[1, 2,]', r'a comma before the closing bracket at line 1'),
        (b'[{"a": 1,\n}\n]', r'a comma before the closing bracket at line'),
        (b'[1 2]', r'at line 1, column 4\. Correct it there'),
        (b'{a: 1}', r'at line 1, column 2\. Correct it there'),
        (b'["a', r'The file may be cut off'),
        (b'[1,', r'The file may be cut off'),
        (b'[1, 2', r'at line 1, column 6\. The file may be cut off'),
    ],
)
def test_what_is_no_json_has_its_own_cure(content, match, tmp_path):
    (tmp_path / 'a.json').write_bytes(content)
    with pytest.raises(ValueError, match=match):
        read_json(tmp_path / 'a.json')


def test_a_byte_order_mark_is_read_over(tmp_path):
    (tmp_path / 'a.json').write_bytes(b'\xef\xbb\xbf[1]')
    assert read_json(tmp_path / 'a.json') == [1]


def test_nothing_and_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'truth .*" is a folder'):
        read_json(tmp_path, 'truth file')
    with pytest.raises(FileNotFoundError) as error:
        read_json(tmp_path / 'no.json', 'truth file')
    assert str(error.value).endswith('no.json" does not exist.')


def test_lists_in_lists_without_end(tmp_path):
    (tmp_path / 'a.json').write_text('[' * 100_000)
    with pytest.raises(ValueError, match='lists in lists deeper'):
        read_json(tmp_path / 'a.json')
