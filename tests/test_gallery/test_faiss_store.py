"""A store in a folder: changes, readers and what is refused."""

import errno
import json
import os
import sys

import numpy as np
import pytest
import torch

from mmtpr.gallery import FaissStore, ModelIdentity
from mmtpr.gallery.pooled_index import faiss
from mmtpr.utils.errors import LaunchError


@pytest.mark.parametrize('tokens', [1, 4])
def test_what_is_added_is_found_and_fetched(
    make, read, vectors, names, tokens
):
    feats = vectors(30, tokens)
    with make() as store:
        store.add(names(30), feats, [f'{n}.jpg' for n in range(30)])
        assert len(store) == 30
    store = read()
    assert len(store) == 30
    stored = feats if tokens == 1 else feats.half().float()
    assert torch.equal(store.fetch(['i7', 'i3']), stored[[7, 3]])
    (hits,) = store.search(feats[5, 0], k=3, topk_tokens=1)
    assert (hits.ids[0], hits.paths[0]) == ('i5', '5.jpg')
    assert len(hits) == 3
    assert hits.proven is None


def test_vectors_without_tokens(make, vectors, names):
    store = make()
    feats = vectors(5)[:, 0]
    store.add(names(5), feats)
    assert torch.equal(store.fetch(names(5)), feats[:, None])


@pytest.mark.parametrize('tokens', [1, 4])
def test_upsert_delete_compact(make, read, vectors, names, tokens):
    store = make()
    store.add(names(20), vectors(20, tokens))
    store.flush()
    new = vectors(12, tokens, seed=1).half().float()
    columns = dict(camera=[*range(12)])
    store.upsert(names(12, 10), new, columns=columns)
    assert len(store) == 22
    store.upsert(['i21'], new[:1], columns=dict(camera=[99]))
    store.delete(['i0', 'i11'])
    assert len(store) == 20
    store.flush()
    before = sorted(store.ids())
    assert before == sorted({*names(22)} - {'i0', 'i11'})
    assert store.columns(['i21', 'i10', 'i1']) == dict(
        path=['i21', 'i10', 'i1'], camera=[99, 0, None]
    )
    reader = read()
    query = vectors(3, seed=9)[:, 0]
    found = [reader.search(query, k=20, topk_tokens=tokens) for _ in '12']
    store.compact()
    assert len(store._manifest.segments) == 1
    assert store._manifest.deleted is None
    assert sorted(store.ids()) == before
    assert torch.equal(store.fetch(['i10', 'i21']), new[[0, 0]])
    assert store.columns(['i10'])['camera'] == [0]
    assert store.verify() == []
    # The reader still sees what it opened, whose files are gone.
    assert sorted(reader.ids()) == before
    again = reader.search(query, k=20, topk_tokens=tokens)
    assert [h.ids for h in again] == [h.ids for h in found[0]]
    assert reader.refresh()
    assert not reader.refresh()
    later = reader.search(query, k=20, topk_tokens=tokens)
    assert [{*h.ids} for h in later] == [{*h.ids} for h in again]


def test_a_reader_sees_flushed_states_only(make, read, vectors, names):
    store = make()
    store.add(names(3), vectors(3))
    assert len(read()) == 0
    (hits,) = read().search(vectors(1)[0])
    assert hits.ids == []
    store.flush()
    store.delete(['i1'])
    assert len(store) == 2
    assert len(read()) == 3
    assert store.search(vectors(1)[0])[0].ids == ['i0', 'i2']  # flushes
    assert len(read()) == 2


def test_deleting_everything(make, read, vectors, names):
    store = make()
    store.add(names(3), vectors(3))
    store.delete(names(3))
    store.compact()
    assert len(store) == 0
    assert store.verify() == []
    store.add(names(2), vectors(2))
    store.flush()
    assert read().ids() == ['i0', 'i1']


def test_many_small_parts_are_joined(make, vectors, names):
    store = make(most_segments=3)
    for number in range(7):
        store.add(names(2, 2 * number), vectors(2, seed=number))
        store.flush()
        assert len(store._manifest.segments) <= 3
    assert sorted(store.ids()) == sorted(names(14))
    files = os.listdir(store.folder)
    assert len(files) == 2 + 2 * len(store._manifest.segments)


def test_an_error_in_the_block_drops_what_waits(make, read, vectors, names):
    store = make()
    store.add(names(3), vectors(3, 2))
    with pytest.raises(KeyError), store:
        raise KeyError
    assert len(read()) == 0
    assert sorted(os.listdir(store.folder)) == ['manifest.json']


def test_two_writers(make, vectors, names):
    store = make()
    with pytest.raises(LaunchError, match=r'The store ".*" is in use by'):
        make()
    store.close()
    make().add(names(1), vectors(1))


def test_a_lock_of_a_dead_process(make, tmp_path, vectors, names):
    make().close()
    dead = dict(host=os.uname().nodename, pid=os.getpid(), started='x 1')
    (tmp_path / 'store/.lock').write_text(json.dumps(dead))
    make().add(names(1), vectors(1))


def test_another_model(make, read, identity):
    make()
    other = ModelIdentity('clip', 'weights-2', 'resize-1')
    match = 'another model .weights "weights-1" there, "weights-2" here'
    with pytest.raises(ValueError, match=match):
        read(identity=other)
    assert read(identity=identity).identity == identity == read().identity


def test_a_newer_version(make, read, tmp_path):
    make().close()
    file = tmp_path / 'store/manifest.json'
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, 'format': 2, 'new': 1}))
    with pytest.raises(ValueError, match='written by a newer mmtpr'):
        read()
    with pytest.raises(ValueError, match='written by a newer mmtpr'):
        make()


@pytest.mark.parametrize('text', ['{', '[]', '{"kind": "another"}'])
def test_a_manifest_of_something_else(make, read, tmp_path, text):
    make().close()
    (tmp_path / 'store/manifest.json').write_text(text)
    with pytest.raises(ValueError, match='is damaged, or of something else'):
        read()


def test_a_changed_manifest(make, read, tmp_path):
    make().close()
    file = tmp_path / 'store/manifest.json'
    file.write_text(file.read_text().replace('weights-1', 'weights-2'))
    with pytest.raises(ValueError, match='is not what was written'):
        read()


def test_no_store(read, tmp_path):
    with pytest.raises(FileNotFoundError, match='holds no gallery store'):
        read()
    with pytest.raises(ValueError, match='give the identity'):
        FaissStore(tmp_path / 'store', write=True)
    (tmp_path / 'photo.jpg').write_bytes(b'')
    with pytest.raises(ValueError, match=r'holds other files.*"photo.jpg"'):
        FaissStore(tmp_path, ModelIdentity('', '', ''), write=True)
    assert 'photo.jpg' in os.listdir(tmp_path)


@pytest.mark.parametrize('kind', ['tokens', 'pooled', 'table', 'deleted'])
def test_verify_names_a_flipped_bit(make, read, vectors, names, kind):
    store = make()
    store.add(names(40), vectors(40, 3), columns=dict(camera=range(40)))
    store.delete(['i3'])
    store.flush()
    assert read().verify() == []
    (file,) = store.folder.glob(f'{kind}-*')
    content = bytearray(file.read_bytes())
    # In the last item, or in the middle: all of it can still be opened.
    place = len(content) // 2 if kind == 'table' else len(content) - 1
    content[place] ^= 1 if kind != 'deleted' else 0
    if kind == 'deleted':
        content[-8] ^= 1  # another item is deleted
    reader = read()
    file.write_bytes(content)
    told = ' '.join(reader.verify())
    assert f'"{file.name}" has another content than was written' in told


def test_verify_reads_the_newest_state(make, read, vectors, names):
    store = make()
    store.add(names(3), vectors(3))
    store.flush()
    reader = read()
    store.delete(['i1'])
    store.compact()
    assert reader.verify() == []


def test_a_file_that_is_cut_off_or_missing(make, read, vectors, names):
    store = make()
    store.add(names(4), vectors(4, 3))
    store.flush()
    (file,) = store.folder.glob('tokens-*')
    os.truncate(file, 10)
    with pytest.raises(ValueError, match='has 10 bytes instead of 384'):
        read()
    file.unlink()
    with pytest.raises(ValueError, match=r'is missing\. Restore it'):
        read()


@pytest.mark.parametrize('tokens', [1, 3])
@pytest.mark.parametrize('failing', range(4))
def test_a_full_disk_keeps_the_former_state(
    make, read, vectors, names, monkeypatch, tokens, failing
):
    store = make()
    store.add(names(4), vectors(4, tokens))
    store.flush()
    store.upsert(names(5), vectors(5, tokens, seed=1))
    left = [failing]
    sync = os.fsync

    def full(handle):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, 'No space left on device')
        sync(handle)

    with monkeypatch.context() as patched:
        patched.setattr(os, 'fsync', full)
        with pytest.raises(LaunchError, match='The disk is full'):
            store.flush()
    reader = read()
    assert len(reader) == 4
    assert reader.verify() == []
    store.flush()  # there is room again
    assert len(read()) == 5
    assert store.verify() == []
    new = vectors(5, tokens, seed=1)
    new = new if tokens == 1 else new.half().float()
    assert torch.equal(read().fetch(names(5)), new)


def test_a_disk_that_fills_while_vectors_are_added(
    make, read, vectors, names, monkeypatch
):
    store = make()
    store.add(names(4), vectors(4, 3))
    file = store._writer._file

    class Full:
        def write(self, content):
            file.write(content[:1])
            raise OSError(errno.ENOSPC, 'No space left on device')

        def __getattr__(self, name):
            return getattr(file, name)

    store._writer._file = Full()
    with pytest.raises(LaunchError, match='The disk is full'):
        store.add(names(4, 4), vectors(4, 3, seed=1))
    assert len(store) == 4
    store.flush()
    assert store.verify() == []  # nothing of the others is in the file
    store.add(names(4, 4), vectors(4, 3, seed=2))
    store.flush()
    assert store.verify() == []
    stored = vectors(4, 3, seed=2).half().float()
    assert torch.equal(read().fetch(names(4, 4)), stored)


def test_what_does_not_fit(make, vectors, names):
    store = make()
    store.add(names(4), vectors(4, 3))
    feats = vectors(2, 3)
    for ids, wrong, kwargs, match in [
        (['i0', 'x'], feats, {}, '1 of 2 ids are in the store already.*"i0"'),
        (['x', 'x'], feats, {}, 'The id "x" is given twice'),
        (['x', ''], feats, {}, "Each id is a text, got ''"),
        (['x', 3], feats, {}, 'Each id is a text, got 3'),
        (['x', '\udcff'], feats, {}, r"'\\udcff' is no Unicode text"),
        ('xy', feats, {}, "Expected a list of ids, got 'xy'"),
        (['x'], feats, {}, '1 ids, 1 paths and vectors of 2 items'),
        (['x', 'y'], vectors(2, 4), {}, 'have 3 vectors of 16 numbers'),
        (['x', 'y'], feats.long(), {}, 'floating'),
        (['x', 'y'], feats * np.nan, {}, '"x" are not finite'),
        (['x', 'y'], feats * 1e6, {}, 'too large for float16'),
        (['x', 'y'], feats, dict(columns={'c': [1]}), '1 values for 2 items'),
        (['x', 'y'], feats, dict(columns={'c': [1, 'a']}), 'mixed or unkn'),
        (['x', 'y'], feats, dict(columns={'id': [1, 2]}), "store's own"),
    ]:
        with pytest.raises(ValueError, match=match):
            store.add(ids, wrong, **kwargs)
    with pytest.raises(ValueError, match='1 of 2 ids are not in the store'):
        store.delete(['i0', 'x'])
    with pytest.raises(ValueError, match='1 of 1 ids are not in the store'):
        store.fetch(['x'])
    assert len(store) == 4
    assert store.ids() == names(4)


def test_a_reader_does_not_write(make, read, vectors, names):
    make()
    store = read()
    for change in (
        lambda: store.add(names(1), vectors(1)),
        lambda: store.delete(names(1)),
        store.compact,
    ):
        with pytest.raises(ValueError, match='open for reading only'):
            change()


def test_the_extra_is_named(tmp_path, monkeypatch):
    faiss.cache_clear()
    monkeypatch.setitem(sys.modules, 'faiss', None)
    with pytest.raises(ImportError, match=r'pip install "mmtpr\[search\]"'):
        FaissStore(tmp_path)
