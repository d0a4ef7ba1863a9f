"""The tool that serves a page."""

import json
import os
import signal
import subprocess
import sys
import types

import pytest
from called_tool import CalledTool
from served_page import write_gallery

from mmtpr.apis import LoadedRetriever
from mmtpr.export import PretrainedRetriever

for name in ('faiss', 'pyarrow'):
    pytest.importorskip(name, reason='the extra [search] is not installed')


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp('serve tool ä')
    write_gallery(folder)
    return folder


@pytest.fixture
def words(place):
    """The first words of a command line."""
    model = place / 'model'
    return model / 'config.py', model / 'model.pth', place / 'store'


@pytest.fixture
def tool(repo_root, monkeypatch, capsys):
    return CalledTool(repo_root / 'tools/serve.py', monkeypatch, capsys)


def test_a_page_is_served(tool, words, place, tmp_path, monkeypatch):
    """Asked as long as the tool waits for its end."""
    pytest.importorskip('gradio', reason='the extra [demo] is not installed')
    client = pytest.importorskip('gradio_client')
    found = []
    (tmp_path / 'password').write_text('secret')
    (tmp_path / 'password').chmod(0o600)

    def ask(page):
        connected = client.Client(
            page.local_url,
            verbose=False,
            auth=('anna', 'secret'),
            download_files=tmp_path,
        )
        query = dict(sentence='a man in red', where='', page=2)
        found.append(connected.predict(**query, api_name='/search'))
        name = found[0]['rows'][0]['id']
        connected.predict(id=name, vote=1, **query, api_name='/vote')

    import gradio

    monkeypatch.setattr(gradio.Blocks, 'block_thread', ask)
    told = tool(
        *words,
        *('--page-size', 7),
        *('--auth', f'anna:{tmp_path / "password"}'),
    )
    assert 'The page: http://127.0.0.1:' in told
    votes = place / 'store_votes.jsonl'
    assert f'Votes go to {votes}' in told
    assert [row['rank'] for row in found[0]['rows']] == list(range(8, 15))
    (line,) = votes.read_text('utf-8').splitlines()
    assert json.loads(line)['id'] == found[0]['rows'][0]['id']


def test_votes_and_folders(tool, words, tmp_path):
    def make(**kwargs):
        names = ('config', 'checkpoint', 'store')
        args = dict(zip(names, map(str, words), strict=True))
        args |= dict(images=None, votes=None, no_votes=False, page_size=10)
        args |= dict(cfg_options=None, allow_partial=False)
        return tool.module.make_search(types.SimpleNamespace(**args | kwargs))

    search = make(votes=tmp_path / 'mine.jsonl', images=[str(tmp_path)])
    assert search.votes.path == tmp_path / 'mine.jsonl'
    with pytest.raises(ValueError, match='outside of the folder'):
        search.images.path('03.png')
    search = make(no_votes=True)
    assert search.votes is None
    assert search.images.path('03.png')


def test_mistakes_end_in_one_sentence(tool, words, tmp_path, monkeypatch):
    config, checkpoint, store = words
    monkeypatch.setattr(tool.module, 'gradio', lambda: None)
    for match, line in (
        ('No checkpoint', (config, tmp_path / 'no.pth', store)),
        ('holds no gallery store', (config, checkpoint, tmp_path / 'no')),
        ('--auth is USER:FILE', (*words, '--auth', 'anna')),
        ('cannot be read', (*words, '--auth', f'anna:{tmp_path}/no')),
        ('not a folder of images', (*words, '--images', tmp_path / 'no')),
        ('no name of a file', (*words, '--votes', tmp_path)),
        ('--votes or --no-votes', (*words, '--votes', 'a', '--no-votes')),
        ('0 is less than 1', (*words, '--page-size', 0)),
    ):
        assert match in tool.failing(*line)


def test_without_gradio(tool, words, monkeypatch):
    def missing(*_):
        raise ImportError('no')

    monkeypatch.setattr('mmtpr.utils.lazy.import_module', missing)
    told = tool.failing(*words)
    assert 'pip install "mmtpr[demo]"' in told


def test_an_exported_model_has_no_vectors_of_sentences():
    """Only of queries; a photo comes first."""
    model = types.SimpleNamespace(extract_query_feat=None)
    loaded = LoadedRetriever({}, model, [], None, None)
    assert loaded.composed
    assert not loaded.embeds_sentences


def test_a_saved_model(tool, words, tmp_path):
    config, checkpoint, store = map(str, words)
    saved = tmp_path / 'saved'
    PretrainedRetriever.of(config, checkpoint).save_pretrained(saved)
    args = dict(config=str(saved), checkpoint='-', store=store, images=None)
    args |= dict(votes=None, no_votes=True, page_size=10, cfg_options=None)
    args |= dict(allow_partial=False)
    search = tool.module.make_search(types.SimpleNamespace(**args))
    assert len(search.search('a man in red').rows) == 10
    assert 'No checkpoint "-"' in tool.failing(config, '-', store)


@pytest.mark.skipif(os.name != 'posix', reason='signals of POSIX')
@pytest.mark.parametrize('sign', ['SIGINT', 'SIGTERM'])
def test_photos_go_with_the_page(repo_root, words, tmp_path, sign):
    pytest.importorskip('gradio', reason='the extra [demo] is not installed')
    line = [repo_root / 'tools/serve.py', *words]
    path = os.pathsep.join([str(repo_root), *filter(None, sys.path)])
    with subprocess.Popen(
        [sys.executable, *map(str, line)],
        env=dict(os.environ, PYTHONPATH=path, TMPDIR=str(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        told = []
        for text in process.stdout:
            told.append(text)
            if text.startswith('Votes go to'):
                break
        assert list(tmp_path.glob('mmtpr_page_*')), ''.join(told)
        process.send_signal(getattr(signal, sign))
        told.append(process.stdout.read())
        process.wait()
    assert 'Traceback' not in ''.join(told)
    assert not list(tmp_path.glob('mmtpr_page_*')), ''.join(told)
