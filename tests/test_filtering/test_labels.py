"""Labels that people gave to pairs."""

import json

import pytest

from mmtpr.filtering.labels import draw_labels, load_labels


def test_csv_json_and_truth_say_the_same(tmp_path):
    (tmp_path / 'a.csv').write_text('note,pair,wrong\nx,2,1\n,0,no\n,1,\n')
    rows = [dict(pair=2, wrong=True), dict(pair=0, wrong=0)]
    (tmp_path / 'a.json').write_text(json.dumps(rows))
    wanted = {2: True, 0: False}
    assert load_labels(tmp_path / 'a.csv', 4) == wanted
    assert load_labels(tmp_path / 'a.json', 4) == wanted
    (tmp_path / 't.json').write_text(json.dumps(dict(kinds=[0, 2, 1])))
    truth = load_labels(tmp_path / 't.json', 3)
    assert truth == {0: False, 1: True, 2: True}


def test_rows_without_a_label_are_counted(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(
        'mmtpr.filtering.labels.print_log',
        lambda text, **_: lines.append(text),
    )
    path = tmp_path / 'a.csv'
    path.write_text('pair,wrong\n0,1\n1,\n2, \n')
    assert load_labels(path, 3) == {0: True}
    assert '2 of 3 rows say nothing under "wrong"' in lines[0]
    assert lines[0].endswith('1 pairs do.')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('pair\n1\n', r'Row 1 of the labels ".*a\.csv" lacks "pair" or'),
        ('pair,wrong\n9,1\n', "Row 1 .* has the pair '9'; .* 0 to 3"),
        ('pair,wrong\n0,1\n-1,1\n', "Row 2 .* has the pair '-1'"),
        ('pair,wrong\n0,maybe\n', 'has \'maybe\' under "wrong"; it is 0 or 1'),
        ('pair,wrong\n0,1\n0,0\n', 'Row 2 .* contradicts another on pair 0'),
        ('pair,wrong\n0,\n', 'labels no pair'),
        ('', 'labels no pair'),
    ],
)
def test_files_that_are_no_labels(tmp_path, text, message):
    path = tmp_path / 'a.csv'
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        load_labels(path, 4)


def test_no_file_and_no_text(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'labels ".*" does not exist'):
        load_labels(tmp_path / 'absent.csv', 4)
    (tmp_path / 'b.csv').write_bytes(b'pair,wrong\n\xff\xfe,1\n')
    with pytest.raises(ValueError, match='is no csv in UTF-8'):
        load_labels(tmp_path / 'b.csv', 4)


def test_a_draw_depends_on_the_seed_alone():
    labels = {i: i % 3 == 0 for i in range(100)}
    drawn = draw_labels(labels, 20, 3)
    assert len(drawn) == 20
    assert all(labels[i] == wrong for i, wrong in drawn.items())
    assert drawn == draw_labels(dict(reversed(labels.items())), 20, 3)
    assert drawn != draw_labels(labels, 20, 4)
    with pytest.raises(ValueError, match='101 labels are to be drawn, but'):
        draw_labels(labels, 101)
