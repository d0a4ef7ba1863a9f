"""The tool that packs images."""

import importlib.util
import os
import sys
from importlib.util import find_spec

import pytest
from mmengine import fileio

from mmtpr.testing import write_tiny_cuhk


@pytest.fixture
def tool(repo_root, monkeypatch):
    path = repo_root / 'tools/dataset_converters/pack_images.py'
    spec = importlib.util.spec_from_file_location('pack_images', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(*arguments):
        words = [str(word) for word in arguments]
        monkeypatch.setattr(sys, 'argv', ['pack_images.py', *words])
        module.main()

    return run


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return write_tiny_cuhk(tmp_path_factory.mktemp('data'))


@pytest.mark.parametrize('scheme', ['tar', 'lmdb'])
def test_packing(tool, root, tmp_path, capsys, scheme):
    if scheme == 'lmdb' and not find_spec('lmdb'):
        pytest.skip('needs the extra [lmdb]')
    out = tmp_path / 'packed'
    tool(root, '--out', out, '--format', scheme)
    lines = capsys.readouterr().out.splitlines()
    assert '22 images' in lines[0]
    assert '1 other files' in lines[0]
    assert lines[1] == f"data_prefix=dict(img_path='{scheme}://{out}')"
    content = fileio.get(f'{scheme}://{out}/imgs/train/0000_0.png')
    assert content == (root / 'imgs/train/0000_0.png').read_bytes()


def told(tool, capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        tool(*arguments)
    text = str(caught.value.code) + capsys.readouterr().err
    assert 'Traceback' not in text
    return text


def test_what_is_there_is_kept(tool, root, tmp_path, capsys):
    out = tmp_path / 'packed'
    tool(root / 'imgs/train', '--out', out)
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    assert '--overwrite' in told(tool, capsys, root, '--out', out)
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    tool(root, '--out', out, '--overwrite')
    assert (out / 'images-00000.tar').read_bytes() != (
        before['images-00000.tar']
    )
    # A folder with anything else is never replaced.
    (out / 'notes.txt').write_text('mine')
    message = told(tool, capsys, root, '--out', out, '--overwrite')
    assert 'is something else' in message
    assert (out / 'notes.txt').exists()
    assert os.listdir(tmp_path) == ['packed']


def test_it_stops_half_way(tool, root, tmp_path, monkeypatch):
    from mmtpr.datasets.packed_images import write

    def fail(folder, shards):
        raise write.PackedImagesError('The disk is gone.')

    monkeypatch.setattr(write, 'index_shards', fail)
    with pytest.raises(OSError, match='The disk is gone'):
        tool(root, '--out', tmp_path / 'packed')
    assert os.listdir(tmp_path) == []


def test_bad_input_is_told(tool, root, tmp_path, capsys):
    text = told(tool, capsys, tmp_path, '--out', tmp_path / 'out')
    assert 'There are no images in' in text
    text = told(tool, capsys, tmp_path / 'gone', '--out', tmp_path / 'out')
    assert 'cannot be listed' in text
    assert 'no *.tar in' in told(tool, capsys, tmp_path, '--index')
    assert '--out or --index' in told(tool, capsys, tmp_path)
    assert os.listdir(tmp_path) == []


def test_indexing_shards(tool, root, tmp_path, capsys):
    tool(root, '--out', tmp_path / 'packed')
    (tmp_path / 'packed/index.json').unlink()
    tool(tmp_path / 'packed', '--index')
    assert '22 files indexed' in capsys.readouterr().out
