"""The tool that keeps galleries."""

import importlib.util
import sys

import pytest
from gallery_model import write_image, write_model

pytest.importorskip('faiss', reason='the extra [search] is not installed')
pytest.importorskip('pyarrow', reason='the extra [search] is not installed')


@pytest.fixture
def tool(repo_root, monkeypatch, capsys):
    path = repo_root / 'tools/gallery.py'
    spec = importlib.util.spec_from_file_location('gallery_tool', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, 'get_device', lambda: 'cpu')

    def run(*arguments):
        words = [str(word) for word in arguments]
        monkeypatch.setattr(sys, 'argv', ['gallery.py', *words])
        module.main()
        return capsys.readouterr().out

    return run


def failing(tool, capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        tool(*arguments)
    told = str(caught.value) + capsys.readouterr().err
    assert 'Traceback' not in told
    return told


def test_from_build_to_verify(tool, tmp_path, capsys):
    images, store = tmp_path / 'images', tmp_path / 'store'
    for number in range(5):
        write_image(images / f'{number}.png', (40 * number, 0, 0))
    (images / 'broken.jpg').write_bytes(b'x')
    what = (store, images, *write_model(tmp_path), '--num-workers', 0)
    told = failing(tool, capsys, 'update', *what)
    assert 'to update: build it' in told
    assert '5 images; 5 new, 0 changed, 0 vanished' in tool('build', *what)
    assert 'exists: update it' in failing(tool, capsys, 'build', *what)
    (images / '1.png').unlink()
    told = tool('update', *what)
    assert '4 images; 0 new, 0 changed, 1 vanished, 4 as they were (0' in told
    assert '1 broken' in told
    told = tool('info', store)
    assert 'images      4' in told
    assert 'column      file_bytes (int)' in told
    assert '4 images in one part' in tool('compact', store)
    assert '4 images, nothing is damaged' in tool('verify', store)
    (file,) = store.glob('pooled-*')
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    told = failing(tool, capsys, 'verify', store)
    assert f'"{file.name}" has another content than was written' in told
    told = failing(tool, capsys, 'info', tmp_path / 'none')
    assert 'holds no gallery store' in told
