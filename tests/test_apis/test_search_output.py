"""Results as a table, json, csv, a figure and a page."""

import base64
import csv
import json
import re
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser
from io import BytesIO
from itertools import pairwise

import pytest
from gallery_model import write_image
from PIL import Image

from mmtpr.apis import SearchResult
from mmtpr.apis.search_output import format_table, write_results
from mmtpr.utils.errors import LaunchError


@pytest.fixture
def results(tmp_path):
    names = ['a/größe 人.png', 'b<&">.png']
    for name, colour in zip(names, ('red', 'blue'), strict=True):
        write_image(tmp_path / 'my photos' / name, colour)
    names.append('gone.png')
    paths = [str(tmp_path / 'my photos' / name) for name in names]
    columns = dict(
        camera=[3, None, 7],
        time=[datetime(2024, 5, 1, 13, 30), None, None],
    )
    first = SearchResult(
        'a man with a <b>', names, paths, [0.9, 0.5, -0.25], columns, proven=2
    )
    second = SearchResult(
        'now\nin red', ['x'], [paths[0]], [0.1], reference=paths[1]
    )
    return [first, second, SearchResult('nobody', [], [], [])]


def test_the_table(results):
    first, second, third = format_table(results).split('\n\n')
    assert first.startswith('a man with a <b>\nrank    score  path  ')
    lines = first.splitlines()
    assert re.fullmatch(
        r' +1   0\.9000  .*größe 人\.png +3 +2024-05-01 13:30:00', lines[2]
    )
    assert re.fullmatch(r' +3  -0\.2500  .*gone\.png +7', lines[4])
    assert lines[5].startswith('2 of 3 places are proven')
    # A character of two columns counts as two.
    where = lines[1].index('camera')
    assert lines[2][where - 1] == '3'
    assert lines[4][where] == '7'
    # No character commands the terminal, and the id is shown where the path
    # does not tell it.
    assert second.splitlines()[0].endswith('b<&">.png: now\\nin red')
    assert second.splitlines()[1].split() == ['rank', 'score', 'id', 'path']
    assert third == 'nobody\n  nothing found'


def test_json_and_csv(results, tmp_path):
    write_results(results, tmp_path / 'out.json')
    found = json.loads((tmp_path / 'out.json').read_text('utf-8'))
    assert [query['query'] for query in found] == [r.query for r in results]
    assert found[0]['proven'] == 2
    assert found[0]['results'][0] == dict(
        rank=1,
        score=0.9,
        id='a/größe 人.png',
        path=results[0].paths[0],
        columns=dict(camera=3, time='2024-05-01T13:30:00'),
    )
    assert found[1]['reference'] == results[1].reference
    write_results(results, tmp_path / 'out.csv')
    with open(tmp_path / 'out.csv', encoding='utf-8', newline='') as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert rows[0]['id'] == 'a/größe 人.png'
    assert [row['camera'] for row in rows] == ['3', '', '7', '']
    assert rows[3]['query'] == 'now\nin red'


def test_what_is_not_wanted_is_said(results, tmp_path):
    first, second, _ = results
    other = replace(
        first, negative=dict(negative_text='a <hat>', negative_weight=0.5)
    )
    both = [first, second, other]
    tables = format_table(both).split('\n\n')
    assert tables[0].splitlines()[1:] == tables[2].splitlines()[1:]
    assert tables[2].startswith('a man with a <b> [not: a <hat>, times 0.5]\n')
    for ending in ('json', 'csv', 'html', 'png'):
        write_results(both, tmp_path / f'out.{ending}')
    found = json.loads((tmp_path / 'out.json').read_text('utf-8'))
    assert 'negative_text' not in found[0]
    assert found[2]['negative_text'] == 'a <hat>'
    assert found[2]['negative_weight'] == 0.5
    with open(tmp_path / 'out.csv', encoding='utf-8', newline='') as file:
        rows = list(csv.DictReader(file))
    told = [(r['negative_text'], r['negative_weight']) for r in rows]
    assert told == [('', '')] * 4 + [('a <hat>', '0.5')] * 3
    page = (tmp_path / 'out.html').read_text('utf-8')
    assert page.count('[not: a &lt;hat&gt;, times 0.5]') == 2


def test_the_figure(results, tmp_path):
    write_results(results, tmp_path / 'out.png')
    with Image.open(tmp_path / 'out.png') as image:
        colours = {c for _, c in image.getcolors(1 << 20)}
    assert {(255, 0, 0), (0, 0, 255)} <= colours


class Page(HTMLParser):
    """What a page holds, and whether its tags are balanced."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ('meta', 'img'):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((tuple(self.open), data))

    def of(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def test_the_page_needs_nothing_else(results, tmp_path):
    write_results(results, tmp_path / 'out.html', 'The best of 3 images.')
    text = (tmp_path / 'out.html').read_text('utf-8')
    page = Page(text)
    assert '://' not in text
    assert page.of('script') == page.of('link') == []
    policy = page.of('meta')[1]['content']
    assert policy.startswith("default-src 'none'; img-src data:;")
    for attrs in page.of('img'):
        head, _, content = attrs['src'].partition(',')
        assert head == 'data:image/jpeg;base64'
        with Image.open(BytesIO(base64.b64decode(content))) as image:
            assert image.size == (int(attrs['width']), int(attrs['height']))
    # Links lead into the page only, and to what is there.
    names = {attrs['id'] for _, attrs in page.tags if 'id' in attrs}
    targets = [attrs['href'] for attrs in page.of('a')]
    assert {target[0] for target in targets} == {'#'}
    assert {target[1:] for target in targets} <= names


def test_the_page_is_one_for_keyboards_and_readers(results, tmp_path):
    write_results(results, tmp_path / 'out.html')
    text = (tmp_path / 'out.html').read_text('utf-8')
    page = Page(text)
    assert page.of('html') == [dict(lang='en')]
    assert len(page.of('h1')) == len(page.of('main')) == 1
    assert len(page.of('section')) == len(results)
    headings = [tag for tag, _ in page.tags if re.fullmatch(r'h\d', tag)]
    levels = [int(tag[1]) for tag in headings]
    assert all(b - a <= 1 for a, b in pairwise(levels))
    # Each image says what it is, in a list; an unreadable one as well.
    alts = [attrs['alt'] for attrs in page.of('img')]
    assert 'Result 1: a/größe 人.png' in alts
    assert 'Result 2: b<&">.png' in alts
    assert 'Reference photo of query 2' in alts
    assert 'Result 3: gone.png cannot be read.' in [x for _, x in page.texts]
    assert len(page.of('ol')) == 3
    assert ':focus-visible' in text
    # The first thing that a keyboard reaches leads past the rest.
    assert page.of('a')[0] == {'class': 'skip', 'href': '#results'}
    # What users wrote is text.
    assert page.of('b') == []
    assert any('a man with a <b>' in data for _, data in page.texts)


def test_another_ending(results, tmp_path):
    with pytest.raises(LaunchError, match=r'\.json, \.csv, \.png, \.html'):
        write_results(results, tmp_path / 'out.pdf')
