"""A store that follows a folder of images."""

import errno
import os
import shutil

import pytest
import torch
from gallery_model import write_image, write_model

from mmtpr.apis import load_embedder, update_gallery
from mmtpr.gallery import FaissStore
from mmtpr.utils.errors import LaunchError

pytest.importorskip('faiss', reason='the extra [search] is not installed')
pytest.importorskip('pyarrow', reason='the extra [search] is not installed')


@pytest.fixture(scope='module')
def loaded(tmp_path_factory):
    folder = tmp_path_factory.mktemp('model')
    return load_embedder(*write_model(folder), batch_size=3)


@pytest.fixture
def images(tmp_path):
    root = tmp_path / 'my photos'
    for number in range(7):
        write_image(root / f'a/{number}.png', (30 * number, 0, 200))
    write_image(root / 'größe 人.png', 'green')
    (root / 'broken.jpg').write_bytes(b'no image')
    return root


@pytest.fixture
def counted(loaded):
    """The embedder, and the names of what it was given."""
    embedder, _ = loaded
    given = []

    def embed(entries):
        given.extend(os.path.basename(e['img_path']) for e in entries)
        return embedder(entries)

    return embed, given


def test_only_what_changed_is_embedded(tmp_path, images, loaded, counted):
    embed, given = counted
    with FaissStore(tmp_path / 'store', loaded[1], write=True) as store:
        found = update_gallery(store, images, embed)
    assert (found.new, found.changed, found.vanished, found.same) == (
        *(8, 0, 0),
        0,
    )
    assert [*found.broken] == ['broken.jpg']
    store = FaissStore(tmp_path / 'store', loaded[1])
    assert sorted(store.ids()) == sorted(
        ['größe 人.png', *(f'a/{n}.png' for n in range(7))]
    )
    (path,) = store.columns(['größe 人.png'])['path']
    assert path == str(images / 'größe 人.png')
    first = store.fetch(['a/1.png', 'a/2.png'])

    given.clear()
    (images / 'a/0.png').unlink()
    write_image(images / 'a/1.png', 'white')
    os.utime(images / 'a/1.png', ns=(7, 7))
    write_image(images / 'new.png', 'black')
    with FaissStore(tmp_path / 'store', loaded[1], write=True) as store:
        found = update_gallery(store, images, embed)
    # The broken one is remembered, and not tried again.
    assert sorted(given) == ['1.png', 'new.png']
    assert (found.new, found.changed, found.vanished, found.same) == (
        *(1, 1, 1),
        6,
    )
    assert [*found.broken] == ['broken.jpg']
    store.refresh()
    now = FaissStore(tmp_path / 'store').fetch(['a/1.png', 'a/2.png'])
    assert not torch.equal(now[0], first[0])
    assert torch.equal(now[1], first[1])

    given.clear()
    write_image(images / 'broken.jpg', 'red')
    (images / 'new.png').write_bytes(b'')  # broken from now on
    with FaissStore(tmp_path / 'store', loaded[1], write=True) as store:
        found = update_gallery(store, images, embed)
        assert [*found.broken] == ['new.png']
        assert 'new.png' not in store.ids()
        assert (found.new, found.changed, found.same) == (1, 0, 7)


def test_an_update_that_is_broken_off_goes_on(
    tmp_path, images, loaded, counted
):
    embed, given = counted

    def stop_late(entries):
        for number, batch in enumerate(embed(entries)):
            if number == 2:
                raise KeyboardInterrupt
            yield batch

    store = FaissStore(tmp_path / 'store', loaded[1], write=True)
    with pytest.raises(KeyboardInterrupt), store:
        update_gallery(store, images, stop_late, flush_every=1)
    assert 0 < len(FaissStore(tmp_path / 'store')) < 8
    given.clear()
    with FaissStore(tmp_path / 'store', loaded[1], write=True) as store:
        update_gallery(store, images, embed)
        assert len(store) == 8
        assert store.verify() == []
    assert len(given) == 3
    whole = FaissStore(tmp_path / 'other', loaded[1], write=True)
    update_gallery(whole, images, embed)
    ids = sorted(whole.ids())
    assert sorted(store.ids()) == ids
    torch.testing.assert_close(store.fetch(ids), whole.fetch(ids))
    whole.close()


def test_other_items_stay(tmp_path, images, loaded, counted):
    with FaissStore(tmp_path / 'store', loaded[1], write=True) as store:
        update_gallery(store, images, counted[0])
        feats = store.fetch(['a/1.png'])
        store.add(['mine'], feats)
        shutil.rmtree(images / 'a')
        found = update_gallery(store, images, counted[0])
        assert found.vanished == 7
        assert sorted(store.ids()) == ['größe 人.png', 'mine']


def test_a_folder_without_images(tmp_path, images, loaded, counted):
    with FaissStore(tmp_path / 'store', loaded[1], write=True) as store:
        update_gallery(store, images, counted[0])
        shutil.rmtree(images)
        with pytest.raises(FileNotFoundError):
            update_gallery(store, images, counted[0])
        images.mkdir()
        with pytest.raises(ValueError, match='holds no images'):
            update_gallery(store, images, counted[0])
        assert len(store) == 8


def test_a_name_that_is_no_text(tmp_path, images, loaded, counted):
    try:
        name = os.fsdecode(b'\xff.png')
        shutil.copy(images / 'a/1.png', images / name)
    except OSError:
        pytest.skip('the file system takes Unicode names only')
    with FaissStore(tmp_path / 'store', loaded[1], write=True) as store:
        found = update_gallery(store, images, counted[0])
        assert len(store) == 8
    assert found.broken[name] == 'its name is no Unicode text'


@pytest.mark.parametrize('failing', range(0, 13, 2))
def test_a_disk_that_fills_during_an_update(
    tmp_path, images, loaded, counted, monkeypatch, failing
):
    """Wherever it does: the store is as it was last flushed, and goes on."""
    embed, given = counted
    path = tmp_path / 'store'
    with FaissStore(path, loaded[1], write=True) as store:
        update_gallery(store, images, embed)
    shutil.rmtree(images / 'a')
    for number in range(7):
        write_image(images / f'b/{number}.png', (0, 30 * number, 0))
    left, sync = [failing], os.fsync

    def full(handle):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, 'No space left on device')
        sync(handle)

    with monkeypatch.context() as patched:
        store = FaissStore(path, loaded[1], write=True)
        patched.setattr(os, 'fsync', full)
        with pytest.raises(LaunchError, match='The disk is full'), store:
            update_gallery(store, images, embed, flush_every=3)
    before = FaissStore(path, loaded[1])
    assert before.verify() == []
    ids = {*before.ids()}
    old = {f'a/{n}.png' for n in range(7)}
    # What vanished went with the first that came, or not at all.
    assert old <= ids or not old & ids
    done = len([name for name in ids if name.startswith('b/')])
    given.clear()
    with FaissStore(path, loaded[1], write=True) as store:
        update_gallery(store, images, embed)
        assert len(store) == 8
    assert len([name for name in given if name != 'broken.jpg']) == 7 - done
    assert before.refresh()
    assert before.verify() == []
