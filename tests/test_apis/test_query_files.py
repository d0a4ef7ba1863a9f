"""Files of queries and of paraphrases."""

import pytest

from mmtpr.apis.query_files import read_paraphrases, read_queries


def write(folder, name, content):
    path = folder / name
    content = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ('name', 'content', 'wanted'),
    [
        ('a.txt', '\ufeffa man\r\n\r\n ein Mann \n', ['a man', 'ein Mann']),
        ('a.txt', 'a man, "old"\u2028too', ['a man, "old"\u2028too']),
        ('a.csv', 'caption\n"a man, old"\n', ['a man, old']),
        (
            'a.csv',
            'img_path,caption\nmy photos/ü.jpg,in red\n,a man\n',
            [dict(img_path='my photos/ü.jpg', caption='in red'), 'a man'],
        ),
        (
            'a.jsonl',
            '"a man"\n{"caption": "in red", "img_path": "/b.jpg"}\n',
            ['a man', dict(img_path='/b.jpg', caption='in red')],
        ),
    ],
)
def test_queries(tmp_path, name, content, wanted):
    for query in wanted:
        if isinstance(query, dict):
            query['img_path'] = str(tmp_path / query['img_path'])
    assert read_queries(write(tmp_path, name, content)) == wanted


@pytest.mark.parametrize(
    ('name', 'content', 'match'),
    [
        ('a.doc', 'a man', r'ends in \.txt, \.csv, \.jsonl'),
        ('a.txt', '\n\n', 'holds none'),
        ('a.txt', b'\xff\xfea', 'is not UTF-8'),
        ('a.csv', 'text\na man\n', 'no column "caption"; it has text'),
        ('a.csv', 'caption,id\n,3\n', 'line 2: there is no sentence'),
        ('a.jsonl', '"a man"\n{', 'line 2 is no json'),
        ('a.jsonl', '3', 'line 1: expected a sentence or an object'),
        ('a.jsonl', '{"img_path": "a"}', 'line 1: there is no sentence'),
        ('a.jsonl', '{"caption": "a", "img_path": 3}', 'no path'),
        ('a.jsonl', '{"caption": "a", "img_path": ["b", ""]}', 'no path'),
        ('a.csv', 'caption,negative_weight\na,2\n', 'without negative_text'),
        (
            'a.csv',
            'caption,negative_text,negative_weight\na,b,much\n',
            'line 2: negative_weight must be a positive number',
        ),
        ('a.csv', 'caption\na man, in red\n', 'line 2: there are more fields'),
        (
            'a.jsonl',
            '{"caption": "a", "negative_text": ""}',
            'must be a sentence with words',
        ),
        (
            'a.jsonl',
            '{"caption": "a", "negative_text": "b", "negative_weight": 0}',
            'negative_weight must be a positive number, got 0',
        ),
    ],
)
def test_files_that_are_refused(tmp_path, name, content, match):
    with pytest.raises(ValueError, match=match):
        read_queries(write(tmp_path, name, content))


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match='There is no file'):
        read_queries(tmp_path / 'a.txt')


def test_columns_that_are_not_read(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr('mmtpr.apis.query_files.warn', told.append)
    read_queries(write(tmp_path, 'a.csv', 'caption,pid\na man,3\n'))
    line = '{"caption": "a man", "negativ_text": "b"}'
    read_queries(write(tmp_path, 'a.jsonl', line))
    assert [line.partition(' the ')[2] for line in told] == [
        'fields pid are not read.',
        'fields negativ_text are not read.',
    ]


def test_paraphrases(tmp_path):
    text = write(tmp_path, 'a.txt', 'a guy\na bloke\n')
    assert read_paraphrases(text) == ['a guy', 'a bloke']
    table = 'caption,paraphrase\na man,a guy\na man,a bloke\nred,ruby\n'
    named = {'a man': ['a guy', 'a bloke'], 'red': ['ruby']}
    assert read_paraphrases(write(tmp_path, 'a.csv', table)) == named
    lines = (
        '{"caption": "a man", "paraphrase": ["a guy", "a bloke"]}\n'
        '{"caption": "red", "paraphrase": "ruby"}\n'
    )
    assert read_paraphrases(write(tmp_path, 'a.jsonl', lines)) == named
    for content, match in (
        ('', 'holds none'),
        ('{"caption": "a man"}', 'has a "caption" and its "paraphrase"'),
        ('"a"\n{"caption": "a", "paraphrase": "b"}', 'both sentences and'),
    ):
        with pytest.raises(ValueError, match=match):
            read_paraphrases(write(tmp_path, 'b.jsonl', content))


def test_several_photos_and_what_is_not_wanted(tmp_path):
    line = '{"caption": "in red", "img_path": ["a.jpg", "/b.jpg"]}'
    (query,) = read_queries(write(tmp_path, 'a.jsonl', line))
    assert query['img_path'] == [str(tmp_path / 'a.jpg'), '/b.jpg']
    content = 'caption,negative_text,negative_weight\na,b,0.7\nc,d,\ne,,\n'
    assert read_queries(write(tmp_path, 'a.csv', content)) == [
        dict(caption='a', negative_text='b', negative_weight=0.7),
        dict(caption='c', negative_text='d'),
        'e',
    ]
