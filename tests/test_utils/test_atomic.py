import errno
import os
import subprocess
import sys
from contextlib import suppress
from types import SimpleNamespace

import pytest
from mmengine.fileio import get_file_backend

from mmtpr.utils import atomic
from mmtpr.utils.atomic import (
    atomic_folder,
    atomic_write,
    remove_leftovers,
    remove_leftovers_of,
)
from mmtpr.utils.atomic_backend import ATOMIC_BACKEND
from mmtpr.utils.errors import LaunchError


def test_put_and_leftovers(tmp_path, monkeypatch):
    backend = get_file_backend(backend_args=dict(backend=ATOMIC_BACKEND))
    path = tmp_path / 'new/a.pth'
    backend.put(b'one', path)
    backend.put_text('zwölf', tmp_path / 'b.txt')
    assert path.read_bytes() == b'one'
    assert (tmp_path / 'b.txt').read_text('utf-8') == 'zwölf'

    def killed(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, 'replace', killed)
    monkeypatch.setattr(os, 'unlink', lambda path: None)
    with pytest.raises(KeyboardInterrupt):
        backend.put(b'two', path)
    monkeypatch.undo()
    assert path.read_bytes() == b'one'
    assert len(list(path.parent.iterdir())) == 2
    assert remove_leftovers(path.parent) == 1
    assert os.listdir(path.parent) == ['a.pth']


def killed_while_writing(path):
    """Leave what a killed process leaves; gives its name."""
    before = set(path.parent.glob('.*')) if path.parent.exists() else set()
    code = (
        'import os, sys\n'
        'from mmtpr.utils.atomic import atomic_write\n'
        'with atomic_write(sys.argv[1]) as file:\n'
        '    file.write(b"half")\n'
        '    os._exit(9)\n'
    )
    subprocess.run([sys.executable, '-c', code, path], check=False)
    (left,) = set(path.parent.glob('.*')) - before
    return left


def test_leftovers_of_the_files_that_are_written_and_no_others(tmp_path):
    paths = [tmp_path / 'a/x.json', tmp_path / 'b/y.tar']
    left = [killed_while_writing(paths[0])]
    for name in ('a/.x.json.abcd_123', 'b/.y.tar.zzzzzzzz'):
        left.append(tmp_path / name)
        left[-1].parent.mkdir(exist_ok=True)
        left[-1].touch()
    others = [
        *('a/x.json', 'a/.x.json.abcd', 'a/.x.json.ABCDEFGH', 'a/.lock'),
        *('a/.xx.json.abcd_123', 'a/.y.tar.zzzzzzzz', 'a/x.json.abcd_123'),
    ]
    for name in others:
        (tmp_path / name).touch()
    paths.append(tmp_path / 'absent/z')
    assert sorted(remove_leftovers_of(paths)) == sorted(left)
    assert not any(path.exists() for path in left)
    assert all((tmp_path / name).exists() for name in others)


WRITER = """
import sys, time
from mmtpr.utils import atomic_folder
with atomic_folder(sys.argv[1]) as folder:
    (folder / 'deep').mkdir()
    (folder / 'deep/half.txt').touch()
    print('writing', flush=True)
    time.sleep(100)
"""


def tree(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob('*'))


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    with atomic_folder(tmp_path / 'new/a') as folder:
        (folder / 'deep').mkdir()
        (folder / 'deep/x').touch()
        assert not (tmp_path / 'new/a').exists()
    assert tree(tmp_path) == ['new', 'new/a', 'new/a/deep', 'new/a/deep/x']
    with suppress(KeyboardInterrupt), atomic_folder(tmp_path / 'b') as folder:
        (folder / 'x').touch()
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == ['new']


@pytest.mark.parametrize('names', [None, {'x', 'y'}])
def test_what_is_not_ours_is_not_replaced(tmp_path, names):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a/mine').touch()
    (tmp_path / 'file').touch()
    for name in ('a', 'file'):
        with pytest.raises(FileExistsError, match=f'{name}" exists and is'):
            atomic_folder(tmp_path / name, names).__enter__()
    with pytest.raises(FileExistsError), atomic_folder(tmp_path / 'b', names):
        (tmp_path / 'b/mine').mkdir(parents=True)  # meanwhile
    assert tree(tmp_path) == ['a', 'a/mine', 'b', 'b/mine', 'file']


def test_a_folder_of_the_named_files_is_replaced(tmp_path):
    for name in 'xy':
        with atomic_folder(tmp_path / 'a', {'x', 'y'}) as folder:
            (folder / name).touch()
        assert tree(tmp_path) == ['a', f'a/{name}']
    with pytest.raises(FileExistsError), atomic_folder(tmp_path / 'a'):
        pass


def test_leftovers_are_removed_once_their_writer_is_dead(tmp_path, repo_root):
    process = subprocess.Popen(
        [sys.executable, '-c', WRITER, str(tmp_path / 'a')],
        env=dict(os.environ, PYTHONPATH=str(repo_root)),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == 'writing\n'
    (temporary,) = tmp_path.iterdir()
    (tmp_path / '.a.abcdefgh').mkdir()  # has no lock of ours
    (tmp_path / 'b').mkdir()
    with atomic_folder(tmp_path / 'a'):
        pass
    assert (temporary / 'deep/half.txt').exists()
    process.kill()
    process.wait()
    process.stdout.close()
    with atomic_folder(tmp_path / 'a'):
        pass
    assert set(os.listdir(tmp_path)) == {'a', 'b', '.a.abcdefgh'}


def full(*_):
    raise OSError(errno.ENOSPC, 'No space left on device')


@pytest.mark.parametrize('there', [True, False])
def test_a_full_disk_names_the_file_and_what_is_kept(
    tmp_path, there, monkeypatch
):
    path = tmp_path / 'a.json'
    if there:
        path.write_text('before')
    monkeypatch.setattr(os, 'fsync', full)
    match = r'disk is full: ".*a\.json" is not written\. ' + (
        'What was there before is kept' if there else 'Make room'
    )
    with pytest.raises(LaunchError, match=match), atomic_write(path) as file:
        file.write(b'after')
    assert [p.name for p in tmp_path.iterdir()] == ['a.json'] * there
    assert not there or path.read_text() == 'before'


def test_a_full_disk_while_torch_writes(tmp_path, monkeypatch):
    usage = SimpleNamespace(free=100)
    monkeypatch.setattr(atomic.shutil, 'disk_usage', lambda _: usage)
    match = r'disk is full: ".*a\.pth" is not'
    with (
        pytest.raises(LaunchError, match=match),
        atomic_write(tmp_path / 'a.pth'),
    ):
        raise RuntimeError('PytorchStreamWriter failed writing file data/0')
    usage.free = 1 << 40
    with (
        pytest.raises(RuntimeError, match='Pytorch'),
        atomic_write(tmp_path / 'a.pth'),
    ):
        raise RuntimeError('PytorchStreamWriter failed writing file data/0')


def test_a_full_disk_while_a_folder_is_filled(tmp_path):
    match = r'disk is full: ".*cache" is not'
    with (
        pytest.raises(LaunchError, match=match),
        atomic_folder(tmp_path / 'cache'),
    ):
        full()
    assert not list(tmp_path.iterdir())


def test_other_errors_do_not_speak_of_the_disk(tmp_path):
    def fail():
        try:
            full()
        except OSError:
            with atomic_write(tmp_path / 'a.json'):
                raise ValueError('bad value') from None

    with pytest.raises(ValueError, match='bad value'):
        fail()
    other = OSError(errno.ENOSPC, 'No space left', '/elsewhere/b')
    with (
        pytest.raises(OSError, match='elsewhere'),
        atomic_write(tmp_path / 'a.json'),
    ):
        raise other


def test_links_stay_and_files_are_not_appended_to(tmp_path):
    (tmp_path / 'real').mkdir()
    (tmp_path / 'real/a.txt').write_text('before')
    (tmp_path / 'a.txt').symlink_to('real/a.txt')
    with atomic_write(tmp_path / 'a.txt', 'w') as file:
        file.write('after')
    assert (tmp_path / 'a.txt').is_symlink()
    assert (tmp_path / 'real/a.txt').read_text() == 'after'
    with (
        pytest.raises(ValueError, match='mode must be'),
        atomic_write(tmp_path / 'a.txt', 'a'),
    ):
        pass
