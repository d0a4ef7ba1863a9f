import io
import os
import pickle
import shutil
import tarfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from mmengine import fileio

from mmtpr.datasets.packed_images import TarImages, index_shards, pack_tar
from mmtpr.utils.images import image_problem


@pytest.fixture(scope='module')
def packed(images, tmp_path_factory):
    out = tmp_path_factory.mktemp('packed') / 'tars'
    pack_tar(images / 'imgs', out, shard_bytes=30_000)
    return out


@pytest.fixture
def own(packed, tmp_path):
    """A copy that a test may break."""
    return shutil.copytree(packed, tmp_path / 'own')


def test_the_bytes_of_the_files(images, packed, names):
    assert len([*packed.glob('*.tar')]) > 2
    for name in names[::-1]:
        path = f'tar://{packed}/{name}'
        assert fileio.get(path) == (images / 'imgs' / name).read_bytes()
        assert fileio.exists(path)
        assert not image_problem(path)


def test_what_is_not_there(packed, tmp_path):
    gone = f'tar://{packed}/train/gone.png'
    with pytest.raises(FileNotFoundError, match=r'no image "train/gone.png"'):
        fileio.get(gone)
    assert not fileio.exists(gone)
    assert image_problem(gone) == 'missing'
    with pytest.raises(FileNotFoundError, match='holds packed images, with'):
        fileio.get(f'tar://{tmp_path}/nothing/a.png')
    with pytest.raises(FileNotFoundError, match=r'index\.json'):
        fileio.get('tar://a.png')


def test_threads_forks_and_pickles(images, packed, names):
    backend = TarImages()
    expected = [(images / 'imgs' / name).read_bytes() for name in names]
    paths = [f'tar://{packed}/{name}' for name in names] * 20
    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(backend.get, paths)] == expected * 20
    other = pickle.loads(pickle.dumps(backend))
    assert other.get(paths[3]) == expected[3]
    if hasattr(os, 'fork'):
        child = os.fork()
        if not child:
            right = [backend.get(path) for path in paths[-5:]]
            os._exit(0 if right == expected[-5:] else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert backend.get(paths[0]) == expected[0]


def test_shards_of_others(images, names, tmp_path):
    """Such as WebDataset's: names with ./, folders, captions beside."""
    with tarfile.open(tmp_path / 'a.tar', 'w') as tar:
        tar.add(images / 'imgs', arcname='./', recursive=False)
        for name in names[::2]:
            tar.add(images / 'imgs' / name, arcname=f'./{name}')
    long = 'folder/' * 30 + 'ü.png'
    with tarfile.open(
        tmp_path / 'b.tar', 'w', format=tarfile.PAX_FORMAT
    ) as tar:
        for name in names[1::2]:
            tar.add(images / 'imgs' / name, arcname=name)
        tar.add(images / 'imgs' / names[0], arcname=long)
        tar.add(images / 'reid_raw.json', arcname='0.json')
    assert index_shards(tmp_path) == len(names) + 2
    for name in names:
        content = fileio.get(f'tar://{tmp_path}/{name}')
        assert content == (images / 'imgs' / name).read_bytes()
    content = fileio.get(f'tar://{tmp_path}/{long}')
    assert content == (images / 'imgs' / names[0]).read_bytes()
    text = fileio.get_text(f'tar://{tmp_path}/0.json')
    assert text == (images / 'reid_raw.json').read_text()


@pytest.mark.parametrize('size', [-600, -5000, 100])
def test_a_shard_that_was_cut_off_later(own, names, size):
    shard = own / 'images-00001.tar'
    os.truncate(shard, size if size > 0 else shard.stat().st_size + size)
    with pytest.raises(OSError, match=r'images-00001.tar" has .* cut off'):
        TarImages().get(f'tar://{own}/{names[0]}')


def test_a_shard_that_is_gone(own, names):
    (own / 'images-00000.tar').unlink()
    with pytest.raises(OSError, match=r'images-00000.tar" does not exist'):
        TarImages().get(f'tar://{own}/{names[0]}')


@pytest.mark.parametrize('cut', ['in a file', 'between files', 'empty', 'gz'])
def test_no_index_of_a_broken_shard(own, cut):
    shard = own / 'images-00001.tar'
    with tarfile.open(shard) as tar:
        member = tar.getmembers()[1]
    if cut == 'in a file':
        os.truncate(shard, member.offset_data + 10)
    elif cut == 'between files':
        os.truncate(shard, member.offset)
    elif cut == 'empty':
        os.truncate(shard, 0)
    else:
        with tarfile.open(shard, 'w:gz') as tar:
            tar.add(own / 'index.json')
    before = (own / 'index.npy').read_bytes()
    with pytest.raises(OSError, match=r'images-00001.tar" is cut off or no'):
        index_shards(own)
    assert (own / 'index.npy').read_bytes() == before
    assert not [p for p in own.iterdir() if p.name.startswith('.')]


def test_an_index_of_other_shards(own, names, images, tmp_path):
    """Of as many bytes, with other images in other places."""
    other = tmp_path / 'other'
    with tarfile.open(own / 'images-00000.tar') as tar:
        members = tar.getmembers()
        contents = [tar.extractfile(m).read() for m in members]
    with tarfile.open(own / 'images-00000.tar', 'w') as tar:
        for member, content in zip(members[::-1], contents[::-1], strict=True):
            tar.addfile(member, io.BytesIO(content))
    backend = TarImages()
    message = 'is not the one that was indexed'
    with pytest.raises(OSError, match=message):
        [backend.get(f'tar://{own}/{name}') for name in names]
    own = own.rename(tmp_path / 'indexed again')
    index_shards(own)
    for name in names:
        content = TarImages().get(f'tar://{own}/{name}')
        assert content == (images / 'imgs' / name).read_bytes()
    # The table of another pack beside the list of shards.
    pack_tar(images / 'imgs/train', other)
    own = own.rename(tmp_path / 'mixed')
    shutil.copy(other / 'index.npy', own / 'index.npy')
    with pytest.raises(OSError, match='do not belong together'):
        TarImages().get(f'tar://{own}/{names[0]}')


@pytest.mark.parametrize('content', [b'', b'{}', b'{"shards": 3}', b'\xff'])
def test_an_index_that_is_none(own, names, content):
    (own / 'index.json').write_bytes(content)
    with pytest.raises(OSError, match='cannot be read'):
        TarImages().get(f'tar://{own}/{names[0]}')
    (own / 'index.npy').write_bytes(content)
    with pytest.raises(OSError, match='cannot be read'):
        TarImages().get(f'tar://{own}/{names[0]}')


def test_one_name_twice(own, images, names):
    shutil.copy(own / 'images-00000.tar', own / 'images-again.tar')
    with pytest.raises(OSError, match='more than once, first') as caught:
        index_shards(own)
    assert 'of images-00000.tar' in str(caught.value)
    assert 'of images-again.tar' in str(caught.value)


def test_no_shards(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no \*.tar in'):
        index_shards(tmp_path)


def test_the_same_images_make_the_same_bytes(images, packed, tmp_path):
    pack_tar(images / 'imgs', tmp_path / 'again', shard_bytes=30_000)
    for path in packed.iterdir():
        assert (tmp_path / 'again' / path.name).read_bytes() == (
            path.read_bytes()
        )
    assert np.load(packed / 'index.npy').shape[0] == 5
