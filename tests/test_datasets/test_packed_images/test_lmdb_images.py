import os
import pickle
import shutil
import sys

import pytest
from mmengine import fileio

from mmtpr.datasets.packed_images import LmdbImages, pack_lmdb
from mmtpr.utils.images import image_problem

lmdb = pytest.importorskip('lmdb', reason='needs the extra [lmdb]')


@pytest.fixture(scope='module')
def packed(images, tmp_path_factory):
    out = tmp_path_factory.mktemp('packed') / 'base'
    pack_lmdb(images / 'imgs', out)
    return out


def test_the_bytes_of_the_files(images, packed, names):
    assert [path.name for path in packed.iterdir()] == ['data.mdb']
    for name in names:
        path = f'lmdb://{packed}/{name}'
        assert fileio.get(path) == (images / 'imgs' / name).read_bytes()
        assert fileio.exists(path)
    assert [path.name for path in packed.iterdir()] == ['data.mdb']


def test_what_is_not_there(packed, tmp_path):
    for name in ('gone.png', 'x' * 600, 'straße.png'):
        gone = f'lmdb://{packed}/train/{name}'
        with pytest.raises(FileNotFoundError, match='was not packed'):
            fileio.get(gone)
        assert not fileio.exists(gone)
        assert image_problem(gone) == 'missing'
    with pytest.raises(FileNotFoundError, match=r'data\.mdb'):
        fileio.get(f'lmdb://{tmp_path}/a.png')


def test_forks_and_pickles(images, packed, names):
    backend = LmdbImages()
    paths = [f'lmdb://{packed}/{name}' for name in names]
    expected = [(images / 'imgs' / name).read_bytes() for name in names]
    assert [backend.get(path) for path in paths] == expected
    # LMDB opens a database once in a process, whoever asks.
    other = pickle.loads(pickle.dumps(backend))
    assert other.get(paths[0]) == LmdbImages().get(paths[0]) == expected[0]
    if hasattr(os, 'fork'):
        inherited = backend.pack_of(str(packed))
        child = os.fork()
        if not child:
            right = [backend.get(path) for path in paths] == expected
            right = right and backend.pack_of(str(packed)) is not inherited
            os._exit(0 if right else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert [backend.get(path) for path in paths] == expected


def test_a_base_that_is_cut_off(packed, names, tmp_path):
    size = (packed / 'data.mdb').stat().st_size
    for cut in (size - 4096, size // 2, 100, 0):
        own = shutil.copytree(packed, tmp_path / f'cut at {cut}')
        os.truncate(own / 'data.mdb', cut)
        with pytest.raises(OSError, match=r'is cut off|a broken one'):
            LmdbImages().get(f'lmdb://{own}/{names[0]}')
    own = shutil.copytree(packed, tmp_path / 'a web page')
    (own / 'data.mdb').write_bytes(b'<html>' * 4000)
    with pytest.raises(OSError, match='is no LMDB database'):
        LmdbImages().get(f'lmdb://{own}/{names[0]}')


def test_it_grows_with_the_images(tmp_path, monkeypatch):
    from mmtpr.datasets.packed_images import write

    monkeypatch.setattr(write, '_BATCH', 3)
    monkeypatch.setattr(write, '_ROOM', 1 << 16)
    source = tmp_path / 'source'
    source.mkdir()
    for number in range(20):
        (source / f'{number}.jpg').write_bytes(bytes([number]) * 40_000)
    assert pack_lmdb(source, tmp_path / 'out').num_bytes == 800_000
    backend = LmdbImages()
    for number in range(20):
        content = backend.get(f'lmdb://{tmp_path}/out/{number}.jpg')
        assert content == bytes([number]) * 40_000


def test_without_lmdb_the_extra_is_named(packed, names, monkeypatch):
    monkeypatch.setitem(sys.modules, 'lmdb', None)
    with pytest.raises(ImportError, match=r'mmtpr\[lmdb\]'):
        LmdbImages().get(f'lmdb://{packed}/{names[0]}')
