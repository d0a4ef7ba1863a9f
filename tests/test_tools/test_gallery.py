"""The tool that keeps galleries."""

import pytest
from called_tool import CalledTool
from gallery_model import write_image, write_model

pytest.importorskip('faiss', reason='the extra [search] is not installed')
pytest.importorskip('pyarrow', reason='the extra [search] is not installed')


@pytest.fixture
def tool(repo_root, monkeypatch, capsys):
    return CalledTool(repo_root / 'tools/gallery.py', monkeypatch, capsys)


def test_from_build_to_verify(tool, tmp_path):
    images, store = tmp_path / 'images', tmp_path / 'store'
    for number in range(5):
        write_image(images / f'{number}.png', (40 * number, 0, 0))
    (images / 'broken.jpg').write_bytes(b'x')
    what = (store, images, *write_model(tmp_path), '--num-workers', 0)
    told = tool.failing('update', *what)
    assert 'to update: build it' in told
    assert '5 images; 5 new, 0 changed, 0 vanished' in tool('build', *what)
    assert 'exists: update it' in tool.failing('build', *what)
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
    told = tool.failing('verify', store)
    assert f'"{file.name}" has another content than was written' in told
    told = tool.failing('info', tmp_path / 'none')
    assert 'holds no gallery store' in told


def test_columns_and_contents(tool, tmp_path):
    images, store = tmp_path / 'images', tmp_path / 'store'
    for number in range(3):
        write_image(images / f'{number}.png', (40 * number, 0, 0))
    what = (store, images, *write_model(tmp_path), '--num-workers', 0)
    table = tmp_path / 'cameras.csv'
    table.write_text('path,camera\n0.png,3\n1.png,4\ngone.png,4\n')
    columns = ('--columns', table)
    told = tool.failing('build', *what, *columns)
    assert '1 of 3 images have no row in' in told
    assert '"2.png"' in told
    # Nothing is in the store, so that it may be built.
    null = ('--missing-rows', 'null')
    told = tool('build', *what, *columns, *null, '--hash')
    assert '3 images; 3 new' in told
    told = tool('info', store)
    assert 'column      camera (int)' in told
    assert 'column      file_hash (text)' in told
    table.write_text('path,camera\n0.png,3\n1.png,5\n2.png,5\n')
    told = tool('update', *what, *columns, '--hash')
    assert '0 changed, 0 vanished, 3 as they were (2 with other' in told
    table.write_text('path;camera\n0.png;3\n')
    assert 'has no column "path"' in tool.failing('update', *what, *columns)
