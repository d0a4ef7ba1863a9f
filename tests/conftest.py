"""Fixtures shared by all tests."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

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


@pytest.fixture
def run_processes(repo_root):
    """Runs a script built on ``retrieval_worker`` in N processes."""

    def run(script: Path, number: int, folder: Path) -> tuple[dict, str]:
        folder.mkdir()
        paths = {'PYTHONPATH': str(repo_root), 'OMP_NUM_THREADS': '1'}
        processes = [
            subprocess.Popen(
                [sys.executable, script, str(rank), str(number), folder],
                env={**os.environ, **paths},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for rank in range(number)
        ]
        for process in processes:
            output, _ = process.communicate(timeout=600)
            assert process.returncode == 0, output[-3000:]
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
