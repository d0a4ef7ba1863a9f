"""Fixtures shared by all tests."""

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

# Processes of a test meet on this machine, whatever its name resolves to.
for _, _interface in socket.if_nameindex():
    if _interface in ('lo', 'lo0'):
        os.environ.setdefault('GLOO_SOCKET_IFNAME', _interface)

# Processes of pytest-xdist share the cores; so do the programs they start.
if 'PYTEST_XDIST_WORKER_COUNT' in os.environ:
    _workers = int(os.environ['PYTEST_XDIST_WORKER_COUNT'])
    _threads = max(1, (os.cpu_count() or 1) // _workers)
    os.environ.setdefault('OMP_NUM_THREADS', str(_threads))
    torch.set_num_threads(int(os.environ['OMP_NUM_THREADS']))

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get('MMTPR_SHARED', ROOT.parent / 'shared'))
PARITY = ROOT / 'tests/data/parity'
#: Fixtures of data that only the maintainers have. Tests that use one get the
#: marker ``private_data``.
PRIVATE = {'private_parity', 'market_dir', 'itcpr_dir', 'tokenizers_dir'}


def _private(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(
            f'{name} is private verification data; set MMTPR_SHARED to the '
            'folder that holds it'
        )
    return path


@pytest.fixture(scope='session')
def repo_root() -> Path:
    return ROOT


@pytest.fixture(scope='session')
def parity_file():
    """Path of a parity case of the repository by file name."""
    return PARITY.joinpath


@pytest.fixture(scope='session')
def private_parity():
    """Path of a parity case that is too large for the repository."""
    return lambda name: _private(f'parity/{name}')


@pytest.fixture(scope='session')
def market_dir() -> Path:
    return _private('data/market1501_attr')


@pytest.fixture(scope='session')
def itcpr_dir() -> Path:
    return _private('data/itcpr_annotations')


@pytest.fixture(scope='session')
def tokenizers_dir() -> Path:
    return _private('data/tokenizers')


def _wait(processes: list[subprocess.Popen]) -> subprocess.Popen | None:
    """Wait until all have ended well or one has not; give that one."""
    with ThreadPoolExecutor(len(processes)) as pool:
        ends = {pool.submit(process.wait): process for process in processes}
        try:
            for end in as_completed(ends):
                if end.result() != 0:
                    return ends[end]
        except BaseException:  # the limit of the test: show where they are
            for process in processes:
                process.send_signal(signal.SIGABRT)
                process.wait(10)
            raise
        finally:  # others may wait for it, and nobody for them
            for process in processes:
                process.kill()
    return None


@pytest.fixture(scope='session')
def run_together(repo_root, tmp_path_factory):
    """Runs Python programs that belong together, each in a process.

    Takes the words of their command lines. However long they take, they may:
    what ends the wait is that all have ended or that one has failed, whereupon
    the others are killed. Their output goes to files, so that none waits for
    somebody to read it.
    """

    def run(*commands: list) -> None:
        logs = tmp_path_factory.mktemp('logs')
        env = dict(os.environ, PYTHONPATH=str(repo_root), OMP_NUM_THREADS='1')
        processes = []
        for number, words in enumerate(commands):
            with (logs / f'{number}.txt').open('w') as log:
                process = subprocess.Popen(
                    [sys.executable, '-X', 'faulthandler', *map(str, words)],
                    env=env,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            processes.append(process)
        try:
            failed = _wait(processes)
        except BaseException:
            for log in sorted(logs.iterdir()):
                print(f'{log.name}:\n{log.read_text()[-9000:]}')  # noqa: T201
            raise
        if failed:
            number = processes.index(failed)
            text = (logs / f'{number}.txt').read_text()
            pytest.fail(
                f'process {number} ended with {failed.returncode}:\n'
                f'{text[-3000:]}'
            )

    return run


@pytest.fixture
def counted(monkeypatch):
    """Puts a counter in place of the progress bar of a module of mmtpr.

    Gives a dict of totals and what was counted, by what is shown.
    """
    seen: dict[str, list[int]] = {}

    @contextmanager
    def count(total, what, file=None):
        seen[what] = [total, 0]

        def advance(number):
            seen[what][1] += number

        yield advance

    def watch(name: str) -> dict[str, list[int]]:
        module = importlib.import_module(f'mmtpr.{name}')
        monkeypatch.setattr(module, 'progress', count)
        return seen

    return watch


@pytest.fixture
def run_processes(run_together):
    """Runs a script built on ``retrieval_worker`` in N processes."""

    def run(script: Path, number: int, folder: Path) -> tuple[dict, str]:
        folder.mkdir()
        run_together(
            *([script, rank, number, folder] for rank in range(number))
        )
        numbers = json.loads((folder / 'numbers.json').read_text())
        return numbers, (folder / 'ranking.json').read_text()

    return run


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items):
    for item in items:
        if PRIVATE & set(getattr(item, 'fixturenames', ())):
            item.add_marker('private_data')
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason='needs a CUDA device')
    for item in items:
        if 'gpu' in item.keywords:
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def _few_threads():
    """Many small tensors: threads cost more than they bring."""
    before = torch.get_num_threads()
    torch.set_num_threads(min(2, before))
    yield
    torch.set_num_threads(before)
