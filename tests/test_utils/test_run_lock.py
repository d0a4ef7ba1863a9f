"""Two runs and one output."""

import errno
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mmtpr.utils import run_lock
from mmtpr.utils.errors import LaunchError
from mmtpr.utils.run_lock import lock_output

TAKE = """
import sys
from mmtpr.utils.run_lock import lock_output
with lock_output(sys.argv[1], 'It'):
    print('taken', flush=True)
    sys.stdin.read()
"""


def taken(folder):
    return lock_output(folder / 'lock', 'It')


@pytest.fixture
def other(tmp_path):
    """A process that has taken the lock and waits."""
    process = subprocess.Popen(
        [sys.executable, '-c', TAKE, str(tmp_path / 'lock')],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == 'taken\n'
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


@pytest.fixture
def lines(monkeypatch):
    told = []
    monkeypatch.setattr(run_lock, 'print_log', lambda x, **_: told.append(x))
    return told


def test_one_at_a_time(other, tmp_path, lines):
    match = f'is in use by process {other.pid} of this host'
    with pytest.raises(LaunchError, match=match), taken(tmp_path):
        pass
    other.communicate('')  # it ends and takes its lock away
    assert os.listdir(tmp_path) == []
    with taken(tmp_path):
        assert os.listdir(tmp_path) == ['lock']
    assert lines == os.listdir(tmp_path) == []


def test_it_is_given_back_after_an_error(tmp_path):
    with pytest.raises(KeyError), taken(tmp_path):
        raise KeyError
    assert os.listdir(tmp_path) == []


def test_the_lock_of_a_killed_run_is_taken_over(other, tmp_path, lines):
    other.kill()
    other.wait()
    assert os.listdir(tmp_path) == ['lock']
    with taken(tmp_path):
        owner = json.loads((tmp_path / 'lock').read_text())
    assert owner['pid'] == os.getpid()
    (line,) = lines
    assert line == f'It was locked by process {other.pid}, which is gone: ' + (
        'taken over.'
    )


def write(path, **owner):
    path.write_text(json.dumps(owner))


def test_a_number_that_another_process_has_now(tmp_path, lines):
    host = socket.gethostname()
    started = 'another-boot 12'
    write(tmp_path / 'lock', host=host, pid=os.getpid(), started=started)
    with taken(tmp_path):
        assert len(lines) == 1


def test_another_host_cannot_be_asked(tmp_path):
    write(tmp_path / 'lock', host='elsewhere', pid=7, started=None)
    match = r'process 7 of host elsewhere.*remove ".*lock"'
    with pytest.raises(LaunchError, match=match), taken(tmp_path):
        pass


def test_a_damaged_lock(tmp_path):
    (tmp_path / 'lock').write_text('{')
    match = 'names no process'
    with pytest.raises(LaunchError, match=match), taken(tmp_path):
        pass


def test_a_disk_without_links(tmp_path, monkeypatch):
    def link(*_):
        raise OSError('not supported')

    monkeypatch.setattr(os, 'link', link)
    match = 'in use by process'
    refused = pytest.raises(LaunchError, match=match)
    with taken(tmp_path), refused, taken(tmp_path):
        pass
    assert os.listdir(tmp_path) == []


def test_only_the_first_process_takes_it(tmp_path, monkeypatch):
    monkeypatch.setattr(run_lock, 'is_main_process', lambda: False)
    with taken(tmp_path):
        assert os.listdir(tmp_path) == []


def test_a_lock_that_comes_in_the_place_of_a_stale_one(tmp_path, monkeypatch):
    host = socket.gethostname()
    write(tmp_path / 'lock', host=host, pid=os.getpid(), started='before')
    lives = run_lock._lives

    def late(pid, started):
        found = lives(pid, started)
        # Meanwhile another run takes over the same stale lock.
        write(tmp_path / 'lock', host=host, pid=7, started=None)
        return found

    monkeypatch.setattr(run_lock, '_lives', late)
    match = 'was just taken by another run'
    with pytest.raises(LaunchError, match=match), taken(tmp_path):
        pass
    assert json.loads((tmp_path / 'lock').read_text())['pid'] == 7
    assert os.listdir(tmp_path) == ['lock']


@pytest.mark.parametrize('name', ['RANK', 'SLURM_PROCID'])
def test_a_process_of_a_launcher_that_is_not_the_first(
    tmp_path, monkeypatch, name
):
    monkeypatch.delenv('RANK', raising=False)
    monkeypatch.setenv(name, '1')
    with taken(tmp_path):
        assert os.listdir(tmp_path) == []


@pytest.mark.parametrize('pid', [0, -1, 1 << 70, 'x', None])
def test_a_lock_with_an_odd_process(tmp_path, pid):
    write(tmp_path / 'lock', host=socket.gethostname(), pid=pid)
    match = 'which names no process'
    with pytest.raises(LaunchError, match=match), taken(tmp_path):
        pass


def test_a_folder_in_the_place_of_a_lock(tmp_path):
    (tmp_path / 'lock').mkdir()
    match = 'which names no process'
    with pytest.raises(LaunchError, match=match), taken(tmp_path):
        pass


def test_a_place_where_nothing_can_be_written(tmp_path, monkeypatch):
    (tmp_path / 'file').touch()
    match = r'It cannot be written: ".*file.*": (Not a directory|File exists)'
    for place in ('file', 'file/deep'):
        with pytest.raises(LaunchError, match=match), taken(tmp_path / place):
            pass

    def refuse(path, *args, **kwargs):
        raise PermissionError(errno.EACCES, 'Permission denied', str(path))

    monkeypatch.setattr(Path, 'write_text', refuse)
    with (
        pytest.raises(LaunchError, match=r'written: ".*": Permission denied'),
        taken(tmp_path),
    ):
        pass


def test_whoever_writes_by_itself_takes_it_in_any_process(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(run_lock, 'is_main_process', lambda: False)
    monkeypatch.setenv('RANK', '1')
    with run_lock.hold_lock(tmp_path / 'lock', 'It'):
        assert os.listdir(tmp_path) == ['lock']
    assert os.listdir(tmp_path) == []
