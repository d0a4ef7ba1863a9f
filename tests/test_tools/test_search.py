"""The tool that searches, and the commands of an installed package."""

import json
import os
import subprocess
import sys

import pytest
from called_tool import CalledTool
from gallery_model import (
    write_composed_model,
    write_image,
    write_model,
    write_store,
)

import mmtpr.__main__ as commands

pytest.importorskip('faiss', reason='the extra [search] is not installed')
pytest.importorskip('pyarrow', reason='the extra [search] is not installed')


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp('search tool ä')
    for number, colour in enumerate(('red', 'green', 'blue', 'white')):
        write_image(folder / f'my photos/{number} 人.png', colour)
    for write in (write_model, write_composed_model):
        name = write.__name__
        model = write(folder / name)
        write_store(folder / f'{name}_store', folder / 'my photos', model)
    return folder


@pytest.fixture
def words(place):
    """The first words of a command line."""
    return lambda name='write_model': (
        place / name / 'config.py',
        place / name / 'model.pth',
        place / f'{name}_store',
    )


@pytest.fixture
def tool(repo_root, monkeypatch, capsys):
    return CalledTool(repo_root / 'tools/search.py', monkeypatch, capsys)


def test_one_sentence(tool, words):
    told = tool(*words(), 'a man in red', '-k', 3, '--certify').splitlines()
    start = told.index('a man in red')
    assert told[start + 1].split() == ['rank', 'score', 'path', 'camera']
    assert [line.split()[0] for line in told[start + 2 : start + 5]] == [
        *'123'
    ]
    assert told[start + 5].startswith('3 of 3 places are proven')


@pytest.mark.parametrize('ending', ['json', 'csv', 'png', 'html'])
def test_what_is_written(tool, words, tmp_path, capsys, ending):
    out = tmp_path / f'found.{ending}'
    line = (*words(), 'a man', '--where', 'camera < 2', '--out', out)
    assert f'Wrote {out}' in tool(*line)
    content = out.read_bytes()
    assert content
    assert 'exists already' in tool.failing(*line)
    assert out.read_bytes() == content
    tool(*line, '--overwrite')
    if ending == 'json':
        (query,) = json.loads(out.read_text('utf-8'))
        cameras = [r['columns']['camera'] for r in query['results']]
        assert sorted(cameras) == [0, 0, 1]


def test_a_file_of_queries(tool, words, tmp_path):
    file = tmp_path / 'queries.txt'
    file.write_text('a man in red\na woman in blue\n')
    told = tool(*words(), '--queries', file)
    assert told.index('a man in red') < told.index('a woman in blue')


def test_a_photo_with_a_sentence(tool, words, place):
    photo = place / 'my photos/2 人.png'
    line = (*words('write_composed_model'), 'now in red', '--image', photo)
    assert str(photo) in tool(*line).split('now in red', 1)[1]
    told = tool(*line, '--exclude-reference', '--exact')
    assert str(photo) not in told.split('now in red', 1)[1]


def test_several_photos(tool, words, place, tmp_path):
    photos = sorted((place / 'my photos').glob('*.png'))[:2]
    line = (*words('write_composed_model'), 'now in red', '--exact')
    for photo in photos:
        line += ('--image', photo)
    file = tmp_path / 'found.json'
    told = tool(*line, '--exclude-reference', '--out', file)
    assert f'{photos[0]}; {photos[1]}: now in red' in told
    (found,) = json.loads(file.read_text())
    assert found['references'] == [str(photo) for photo in photos]
    assert found['reference'] == str(photos[0])
    assert len(found['results']) == 2  # of four images
    tool(*line, '--out', tmp_path / 'found.csv')
    assert f'{photos[0]}; {photos[1]}' in (tmp_path / 'found.csv').read_text()


@pytest.mark.parametrize('name', ['write_model', 'write_composed_model'])
def test_what_is_not_wanted(tool, words, place, name):
    line = (*words(name), 'a man', '--exact')
    if name != 'write_model':
        line += ('--image', next((place / 'my photos').glob('*.png')))
    plain = tool(*line)
    without = tool(*line, '--without', 'in red')
    more = tool(*line, '--without', 'in red', '--without-weight', 0.9)
    tables = [told.partition('\n')[2] for told in (plain, without, more)]
    assert len({*tables}) == 3
    assert without.partition('\n')[0].endswith('[not: in red, times 0.5]')
    same = tool(*line, '--without', 'in red', '--without-weight', 0.5)
    assert same == without
    if name == 'write_model':
        # Some of a batch say it, and some do not.
        file = place / 'some.csv'
        file.write_text('caption,negative_text\na man,in red\na man,\n')
        both = tool(*words(name), '--queries', file, '--exact')
        assert both.strip() == f'{without.strip()}\n\n{plain.strip()}'


def test_paraphrases(tool, words, tmp_path):
    file = tmp_path / 'said.txt'
    file.write_text('a guy in scarlet\nsomeone in red\n')
    weight = ('--paraphrase-weight', 2)
    some = tool(*words(), 'a man', '--paraphrases', file, *weight)
    one = ('--paraphrase', 'a guy in scarlet')
    assert tool(*words(), 'a man', *one, *one, *weight) != some
    other = ('--paraphrase', 'someone in red')
    assert tool(*words(), 'a man', *one, *other, *weight) == some


def test_mistakes_end_in_one_sentence(tool, words, tmp_path):
    config, checkpoint, store = words()
    other = words('write_composed_model')
    weight = ('--paraphrase', 'b', '--paraphrase-weight', 'nan')
    queries = ('--queries', tmp_path / 'a.txt')
    for match, line in (
        ('give a sentence, or --queries', words()),
        ('give a sentence', (*words(), 'a', *queries)),
        ('--image goes with', (*words(), *queries, '--image', 'b')),
        ('--without goes with', (*words(), *queries, '--without', 'b')),
        ('goes with --without', (*words(), 'a', '--without-weight', 1)),
        ('a sentence with words', (*words(), 'a', '--without', ' ')),
        ('goes with paraphrases', (*words(), 'a', *weight[2:])),
        ('goes with --image or', (*words(), 'a', '--exclude-reference')),
        ('holds no gallery store', (config, checkpoint, tmp_path, 'a man')),
        ('No checkpoint', (config, tmp_path / 'no.pth', store, 'a man')),
        ('ending says what is written', (*words(), 'a', '--out', 'a.pdf')),
        ('expected a comparison', (*words(), 'a', '--where', 'camera')),
        ('There is no column "x"', (*words(), 'a', '--where', 'x == 1')),
        ('a sentence with words', (*words(), ' ')),
        ('There is no file', (*words(), *queries)),
        ('takes sentences alone', (*words(), 'a', '--image', 'b.jpg')),
        ('must be a positive', (*words(), 'a', *weight)),
        ('model takes a reference image', (*other, 'a')),
        ('of another model', (config, checkpoint, other[2], 'a man')),
    ):
        assert match in tool.failing(*line)


def test_commands_of_the_package(words, tmp_path, repo_root):
    """Whatever the working directory is."""

    def run(*arguments, **env):
        env = dict(PYTHONPATH=str(repo_root), PYTHONUTF8='1') | env
        return subprocess.run(
            [sys.executable, '-m', 'mmtpr', *map(str, arguments)],
            cwd=tmp_path,
            env=os.environ | env,
            capture_output=True,
            text=True,
            encoding='utf-8',
        )

    done = run('search', *words(), 'a man in red')
    assert done.returncode == 0, done.stderr
    assert 'rank' in done.stdout
    assert ' 人.png' in done.stdout
    done = run('search', *words(), 'red', PYTHONIOENCODING='ascii')
    assert ' \\u4eba.png' in done.stdout, done.stderr
    done = run('gallery', 'info', words()[2])
    assert 'images      4' in done.stdout, done.stderr
    done = run('search', '--help')
    assert '--paraphrase-weight' in done.stdout
    assert 'search  ' in run().stdout
    done = run('find')
    assert done.returncode == 1
    assert done.stderr.startswith('error: there is no command "find"')


def test_every_command_is_a_tool():
    for name in commands.COMMANDS:
        assert commands.find_tool(name).is_file()
