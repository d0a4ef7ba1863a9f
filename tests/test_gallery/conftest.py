"""Stores of random vectors."""

import pytest
import torch

from mmtpr.gallery import FaissStore, ModelIdentity

IDENTITY = ModelIdentity('clip', 'weights-1', 'resize-1')


@pytest.fixture(scope='session')
def needs_the_extra():
    why = 'the extra [search] is not installed'
    pytest.importorskip('faiss', reason=why)
    pytest.importorskip('pyarrow', reason=why)


@pytest.fixture
def identity():
    return IDENTITY


@pytest.fixture
def make(tmp_path, needs_the_extra):
    """Makes or opens the store for writing."""
    opened = []

    def open_store(**kwargs):
        kwargs = dict(identity=IDENTITY, write=True) | kwargs
        opened.append(FaissStore(tmp_path / 'store', **kwargs))
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()


@pytest.fixture
def read(tmp_path, needs_the_extra):
    return lambda **kwargs: FaissStore(tmp_path / 'store', **kwargs)


@pytest.fixture
def vectors():
    """Vectors of length one, (N, T, D)."""

    def draw(number, tokens=1, dim=16, seed=0):
        generator = torch.Generator().manual_seed(seed)
        found = torch.randn(number, tokens, dim, generator=generator)
        return torch.nn.functional.normalize(found, dim=-1)

    return draw


@pytest.fixture
def names():
    return lambda number, start=0: [
        f'i{n}' for n in range(start, start + number)
    ]
