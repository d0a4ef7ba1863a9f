"""What a feature cache replaces and removes, and what it leaves alone."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mmtpr.datasets.feature_cache.store import FILES, CacheWriter, read_cache

WRITER = """
import sys
import numpy as np
from mmtpr.datasets.feature_cache import CacheWriter
shapes = dict(image=(2, 1, 4), text=(2, 4))
with CacheWriter(sys.argv[1], dict(views=1), shapes, np.arange(2)):
    print('writing', flush=True)
    sys.stdin.read()
"""


def write(folder, value=1.0, meanwhile=lambda: None):
    shapes = dict(image=(2, 1, 4), text=(2, 4))
    meta = dict(views=1, value=value)
    with CacheWriter(folder, meta, shapes, np.arange(2)) as arrays:
        arrays['image'][:] = value
        arrays['text'][:] = value
        meanwhile()


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob('*'))


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    precious = tmp_path / 'data/precious.txt'
    precious.parent.mkdir()
    precious.write_text('x')
    with pytest.raises(
        ValueError,
        match=r'data" is not a feature cache, or not only one: it holds '
        r'precious\.txt\. It is left as it is; name another folder',
    ):
        write(precious.parent)
    assert files(tmp_path) == ['data', 'data/precious.txt']
    (precious.parent / 'meta.json').write_text('{"views": 1, "version": 1}')
    with pytest.raises(ValueError, match=r'holds precious\.txt'):
        write(precious.parent)
    precious.rename(precious.with_name('image.npy'))
    (precious.parent / 'meta.json').unlink()
    with pytest.raises(ValueError, match=r'holds image\.npy'):
        write(precious.parent)
    assert files(tmp_path) == ['data', 'data/image.npy']


@pytest.mark.parametrize('content', ['[1]', '{"version": 1}', '3'])
def test_metadata_of_something_else_are_left_alone(tmp_path, content):
    path = tmp_path / 'cache/meta.json'
    path.parent.mkdir()
    path.write_text(content)
    for act in (read_cache, write):
        with pytest.raises(ValueError, match='is not a feature cache, its me'):
            act(path.parent)
    assert path.read_text() == content
    with pytest.raises(ValueError, match=r'json" cannot be replaced .* file'):
        write(path)


def test_what_appears_while_writing_is_kept(tmp_path):
    late = tmp_path / 'c/late'
    with pytest.raises(ValueError, match='holds late'):
        write(tmp_path / 'c', meanwhile=lambda: late.mkdir(parents=True))
    assert files(tmp_path) == ['c', 'c/late']


def test_a_cache_and_an_empty_folder_are_replaced(tmp_path):
    for value in (1.0, 2.0):
        (tmp_path / 'c').mkdir(exist_ok=True)
        write(tmp_path / 'c', value)
        assert read_cache(tmp_path / 'c').text[1, 3] == value
        assert os.listdir(tmp_path) == ['c']
    assert set(os.listdir(tmp_path / 'c')) == FILES


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / 'here').symlink_to(tmp_path / 'large_disk')
    for value in (1.0, 2.0):
        write(tmp_path / 'here', value)
        assert (tmp_path / 'here').is_symlink()
        assert read_cache(tmp_path / 'large_disk').meta['value'] == value
    assert sorted(os.listdir(tmp_path)) == ['here', 'large_disk']


@pytest.fixture
def writing(tmp_path, repo_root):
    """A process that writes the cache ``c`` and does not come to an end."""
    process = subprocess.Popen(
        [sys.executable, '-c', WRITER, str(tmp_path / 'c')],
        env=dict(os.environ, PYTHONPATH=str(repo_root)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == 'writing\n'
    yield process
    process.kill()
    process.wait()


def test_what_killed_processes_left_is_removed(tmp_path, writing):
    (temporary,) = tmp_path.glob('.c.*')
    others = {'.c.txt', '.c.abcdefgh.bak', '.d.abcdefgh', '.c.ABCDEFGH'}
    for name in others:
        (tmp_path / name).mkdir()
    write(tmp_path / 'c')  # that process lives, its folder stays
    assert set(os.listdir(tmp_path)) == {'c', temporary.name, *others}
    writing.send_signal(signal.SIGKILL)
    writing.wait()
    assert (temporary / 'text.npy').exists()
    write(tmp_path / 'c')
    assert set(os.listdir(tmp_path)) == {'c', *others}


def test_without_a_lock_age_decides(tmp_path):
    for name in ('.c.aaaaaaaa', '.c.bbbbbbbb', '.c.cccccccc.old'):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'text.npy').touch()
    (tmp_path / '.c.cccccccc.old/mine').touch()
    day = time.time() - 2 * 86400
    for path in (tmp_path / '.c.aaaaaaaa/text.npy', tmp_path / '.c.aaaaaaaa'):
        os.utime(path, (day, day))
    write(tmp_path / 'c')
    assert files(tmp_path)[:4] == [
        '.c.bbbbbbbb',
        '.c.bbbbbbbb/text.npy',
        '.c.cccccccc.old',
        '.c.cccccccc.old/mine',
    ]
    assert not (tmp_path / '.c.aaaaaaaa').exists()


@pytest.mark.parametrize('content', [b'{"ver', b'\xff\xfe'])
def test_damaged_metadata(tmp_path, content):
    write(tmp_path / 'c')
    Path(tmp_path, 'c/meta.json').write_bytes(content)
    with pytest.raises(ValueError, match='is damaged') as error:
        read_cache(tmp_path / 'c')
    assert str(error.value).endswith(
        f': delete the folder "{tmp_path / "c"}", and it is made anew.'
    )
    assert 'get it again' not in str(error.value)
    (tmp_path / 'c/precious.txt').touch()
    with pytest.raises(ValueError, match='holds more than a') as error:
        read_cache(tmp_path / 'c')
    assert 'delete the folder' not in str(error.value)


def test_another_version(tmp_path):
    write(tmp_path / 'c')
    Path(tmp_path, 'c/meta.json').write_text(
        json.dumps(dict(version=0, views=1))
    )
    with pytest.raises(ValueError, match='is of version 0, not 1: delete'):
        read_cache(tmp_path / 'c')
