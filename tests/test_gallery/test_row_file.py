"""Rows read from a file."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mmtpr.gallery.row_file import RowFile


@pytest.fixture(params=['at a place', 'after a seek'])
def way(request, monkeypatch):
    """As on Linux, and as elsewhere."""
    if request.param == 'after a seek':
        monkeypatch.delattr(os, 'preadv', raising=False)


@pytest.mark.parametrize('kind', ['<f2', '<f4'])
@pytest.mark.parametrize('shape', [(40, 3, 5), (40, 1, 7)])
def test_rows_in_any_order(way, tmp_path, kind, shape):
    values = np.random.default_rng(0).normal(size=shape).astype(kind)
    path = tmp_path / 'rows'
    path.write_bytes(values.tobytes())
    file = RowFile(path, np.dtype(kind), shape)
    for rows in ([], [3], [0, 1, 2, 3], [39, 0, 1, 2, 7, 6, 6, 38, 39]):
        found = file.read(np.array(rows, np.int64))
        assert found.tobytes() == values[rows].tobytes()
        assert found.flags.writeable
    blocks = list(file.blocks())
    assert np.array_equal(np.concatenate([b for _, b in blocks]), values)


def test_threads_and_a_file_that_is_gone(way, tmp_path):
    values = np.arange(4000, dtype='<f4').reshape(1000, 2, 2)
    path = tmp_path / 'rows'
    path.write_bytes(values.tobytes())
    file = RowFile(path, values.dtype, values.shape)
    path.unlink()

    def read(seed):
        rows = np.random.default_rng(seed).integers(0, 1000, 300)
        return np.array_equal(file.read(rows), values[rows])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(64)))


def test_a_file_that_is_too_short(way, tmp_path):
    path = tmp_path / 'rows'
    path.write_bytes(bytes(30))
    file = RowFile(path, np.dtype('<f4'), (4, 1, 2))
    with pytest.raises(OSError, match='ends before its rows do'):
        file.read(np.array([0, 3]))
