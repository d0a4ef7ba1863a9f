"""The store in Qdrant: the same answers as the store in a folder.

Runs in the client's local mode, and through the client's requests over HTTP;
against a real server as well if the variable ``MMTPR_QDRANT_URL`` names one.
"""

import os
import uuid
from datetime import datetime

import pytest
import torch

from mmtpr.gallery import ModelIdentity, QdrantStore, WhereError
from mmtpr.utils.errors import LaunchError

SERVER = os.environ.get('MMTPR_QDRANT_URL')
IDENTITY = ModelIdentity('clip', 'weights-1', 'resize-1')


@pytest.fixture(scope='module', autouse=True)
def needs_the_extra():
    why = 'the extra [qdrant] is not installed'
    pytest.importorskip('qdrant_client', reason=why)
    pytest.importorskip('pyarrow', reason=why)


@pytest.fixture(params=['folder', 'http', 'server'])
def place(request, tmp_path):
    """Where the stores of a test are, and a name that nobody has."""
    if request.param == 'folder':
        yield dict(path=tmp_path / 'qdrant', collection='people')
    elif request.param == 'http':
        from qdrant_wire import KEY, qdrant_over_http

        with qdrant_over_http() as server:
            yield dict(url=server.url, collection='people', api_key=KEY)
    elif not SERVER:
        pytest.skip('MMTPR_QDRANT_URL names no server')
    else:
        from qdrant_client import QdrantClient

        name = f'mmtpr-test-{uuid.uuid4().hex}'
        yield dict(url=SERVER, collection=name)
        QdrantClient(url=SERVER).delete_collection(name)


@pytest.fixture
def make(place):
    """Opens the store for writing; closes it, as a folder has one opener."""
    opened = []

    def open_store(**kwargs):
        for store in opened:
            store.close()
        kwargs = dict(identity=IDENTITY, write=True) | kwargs
        opened.append(QdrantStore(**place, **kwargs))
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()


def columns(number):
    return dict(
        camera=[i % 4 for i in range(number)],
        score=[i / 2 if i % 3 else None for i in range(number)],
        night=[i % 2 == 0 for i in range(number)],
        time=[
            datetime(2024, 5, 1 + i % 20, 12, 30, 1, 250)
            for i in range(number)
        ],
        city=['Köln' if i % 5 else None for i in range(number)],
    )


@pytest.fixture(params=[1, 4])
def filled(request, make, vectors, names):
    """The store with 60 items, and one in a folder with the same."""
    tokens = request.param
    store = make()
    store.add(names(60), vectors(60, tokens), columns=columns(60))
    store.flush()
    return store


@pytest.fixture
def peer(tmp_path, filled, vectors, names):
    pytest.importorskip('faiss', reason='the extra [search]')
    from mmtpr.gallery import FaissStore

    with FaissStore(tmp_path / 'peer', IDENTITY, write=True) as store:
        tokens = filled.shape[0]
        order = sorted(range(60), key=names(60).__getitem__)
        kept = columns(60)
        store.add(
            [names(60)[i] for i in order],
            vectors(60, tokens)[order],
            columns={k: [v[i] for i in order] for k, v in kept.items()},
        )
    return FaissStore(tmp_path / 'peer')


WHERES = [
    'camera == 3',
    'camera != 3 and score > 4',
    'not score > 4',
    'not (camera == 1 or night == true)',
    'score == 7',
    'score in (0.5, 2, 3.5)',
    'camera == 2.0 or camera < 1',
    "time >= '2024-05-04 12:30:01.000250' and time < '2024-05-09'",
    "time == '2024-05-04 12:30:01.000250'",
    "not time in ('2024-05-04 12:30:01.000250')",
    "city == 'Köln' and not city != 'Köln'",
    "not city == 'Köln'",
    "not city in ('Köln', 'Bonn')",
    "id in ('i3', 'i4') or path == 'i7'",
    'not (night == true and not camera in (0, 2)) and score <= 20',
]


@pytest.mark.parametrize('where', WHERES)
def test_filters_let_through_what_those_of_a_folder_do(filled, peer, where):
    wanted = peer.ids(where)
    assert filled.ids(where) == wanted
    if "Köln'" not in where or 'not' not in where:
        assert wanted  # the case says something


@pytest.mark.parametrize('how', ['candidates', 'exact', 'certify'])
def test_results_of_a_folder(filled, peer, vectors, how):
    tokens = filled.shape[0]
    query = vectors(5, seed=1)[:, 0]
    kwargs = dict(k=7, topk_tokens=min(2, tokens))
    if how != 'candidates':
        kwargs[how] = True
    for where in (None, 'camera == 3', 'camera > 90'):
        ours = filled.search(query, where=where, **kwargs)
        theirs = peer.search(query, where=where, **kwargs)
        for one, other in zip(ours, theirs, strict=True):
            assert (one.ids, one.paths) == (other.ids, other.paths)
            torch.testing.assert_close(
                one.scores, other.scores, rtol=0, atol=1e-6
            )
            assert one.proven == other.proven


def test_few_candidates(filled, peer, vectors):
    query = vectors(5, seed=1)[:, 0]
    kwargs = dict(k=4, topk_tokens=filled.shape[0], candidates=9)
    ours, theirs = filled.search(query, **kwargs), peer.search(query, **kwargs)
    assert [one.ids for one in ours] == [one.ids for one in theirs]


def test_what_is_fetched(filled, peer, names):
    some = names(60)[5:50:7]
    assert torch.equal(filled.fetch(some), peer.fetch(some))
    assert filled.columns(some) == peer.columns(some)
    assert len(filled) == 60
    assert filled.verify() == []
    assert filled.column_kinds == peer.column_kinds
    with pytest.raises(ValueError, match='1 of 2 ids are not in the store'):
        filled.fetch(['i1', 'absent'])


def test_equal_items_are_found_in_order_of_ids(make, vectors, names):
    store = make()
    same = vectors(1, 4).expand(300, -1, -1)
    store.add(names(300)[::-1], same)
    (hits,) = store.search(vectors(1)[0, 0], 300, topk_tokens=3, exact=True)
    assert hits.ids == sorted(names(300))
    assert len(set(hits.scores.tolist())) == 1


def test_changes_wait_for_a_flush(make, place, vectors, names):
    store = make()
    store.add(names(3), vectors(3), columns=dict(camera=[1, 2, 3]))
    assert len(store) == 3
    store.delete(['i0'])
    store.upsert(['i1', 'i9'], vectors(2, seed=3), paths=['a.jpg', 'b.jpg'])
    assert len(store) == 3
    with pytest.raises(ValueError, match='1 of 1 ids are in the store'):
        store.add(['i9'], vectors(1))
    with pytest.raises(ValueError, match='not in the store'):
        store.delete(['i0'])
    store.add(['i0'], vectors(1, seed=5))
    store.delete(['i0'])
    store.set_notes(dict(broken={'x.jpg': 'cut off'}))
    store.flush()
    store = make(write=False, identity=None)
    assert store.ids() == ['i1', 'i2', 'i9']
    assert len(store) == 3
    assert store.columns(['i1', 'i2']) == dict(
        path=['a.jpg', 'i2'], camera=[None, 3]
    )
    assert torch.equal(store.fetch(['i9']), vectors(2, seed=3)[1:])
    assert store.notes == dict(broken={'x.jpg': 'cut off'})
    assert store.identity == IDENTITY
    with pytest.raises(ValueError, match='open for reading only'):
        store.add(['z'], vectors(1))


def test_an_error_in_the_block_drops_what_waits(make, vectors, names, capsys):
    store = make()
    store.add(names(2), vectors(2))
    store.flush()
    store.add(['late'], vectors(1))
    with pytest.raises(ValueError, match='not in the store'), store:
        store.delete(['absent'])
    assert make().ids() == names(2)


def test_what_is_refused(make, place, vectors, names, tmp_path):
    with pytest.raises(ValueError, match='give the identity'):
        make(identity=None)
    with pytest.raises(FileNotFoundError, match='There is no collection'):
        make(write=False)
    store = make()
    store.add(names(2), vectors(2), columns=dict(camera=[1, 2]))
    with pytest.raises(ValueError, match='no name of a column for Qdrant'):
        store.add(['x'], vectors(1), columns={'a.b': [1]})
    with pytest.raises(ValueError, match=r'true or false|whole numbers'):
        store.add(['x'], vectors(1), columns=dict(camera=['three']))
    with pytest.raises(ValueError, match='no infinite numbers'):
        store.add(['x'], vectors(1), columns=dict(w=[float('inf')]))
    with pytest.raises(ValueError, match='they are of another model'):
        store.add(['x'], vectors(1, 2))
    assert len(store) == 2
    with pytest.raises(WhereError, match='There is no column "b"'):
        store.search(vectors(1)[0, 0], where='b == 1')
    with pytest.raises(WhereError, match='needs a store in'):
        store.search(vectors(1)[0, 0], where="path > 'a'")
    other = ModelIdentity('clip', 'weights-2', 'resize-1')
    with pytest.raises(
        ValueError, match=r'"weights-1" there, "weights-2" here'
    ):
        make(identity=other)
    with pytest.raises(ValueError, match='a url or a path, not both'):
        QdrantStore('a', url='http://x', path='y')


@pytest.mark.parametrize(
    ('text', 'match'),
    [
        ('[]', 'no gallery of mmtpr'),
        ('{"format": 2, "identity": {}}', 'newer mmtpr'),
    ],
)
def test_a_collection_of_something_else_or_newer(
    make, vectors, names, text, match
):
    store = make()
    store.add(names(2), vectors(2))
    store.flush()
    store._collection.ask('update_collection', metadata=dict(mmtpr=text))
    with pytest.raises(ValueError, match=match):
        make()


def test_verify_names_what_is_damaged(make, vectors, names):
    store = make()
    store.add(names(3), vectors(3, 2))
    store.flush()
    from mmtpr.gallery.qdrant_payload import point_id

    point = [point_id('i1')]
    store._collection.ask('set_payload', payload=dict(id='i2'), points=point)
    point = [point_id('i0')]
    store._collection.ask('set_payload', payload=dict(age=3), points=point)
    found = store.verify()
    assert len(found) == 2
    assert any('has age' in told for told in found)
    assert any("its item is 'i2'" in told for told in found)


def test_portions(make, vectors, names, monkeypatch):
    """More items than a request carries."""
    from mmtpr.gallery import qdrant_collection

    monkeypatch.setattr(qdrant_collection, '_NUMBERS', 100)
    store = make()
    sizes = []
    ask = store._collection.ask

    def spy(request, **kwargs):
        sizes.append((request, len(kwargs.get('points', ()))))
        return ask(request, **kwargs)

    monkeypatch.setattr(store._collection, 'ask', spy)
    store.add(names(40), vectors(40, 4), columns=dict(n=list(range(40))))
    store.flush()
    upserts = [size for request, size in sizes if request == 'upsert']
    assert upserts == [1] * 40  # 64 numbers each
    assert torch.equal(store.fetch(names(40)), vectors(40, 4).half().float())
    assert store.ids('n < 7') == sorted(names(7))


def test_a_server_that_does_not_answer(vectors):
    with pytest.raises(LaunchError, match='See whether the server runs'):
        QdrantStore('a', IDENTITY, url='http://127.0.0.1:9', timeout=2)


def test_a_wrong_key(tmp_path):
    from qdrant_wire import qdrant_over_http

    with (
        qdrant_over_http() as server,
        pytest.raises(LaunchError, match=r'Invalid api-key.* takes the key'),
    ):
        QdrantStore('a', IDENTITY, url=server.url, api_key='other')


def test_a_server_that_refuses_in_the_middle(vectors, names, monkeypatch):
    """What it took is there, the rest waits for the next flush."""
    import qdrant_wire
    from qdrant_wire import KEY, qdrant_over_http

    from mmtpr.gallery import qdrant_collection

    monkeypatch.setattr(qdrant_collection, '_MOST_POINTS', 10)
    upsert, times = qdrant_wire._upsert, []

    def refuse_third(method, *args):
        times.append(method)
        if times.count('PUT') == 3 and method == 'PUT':
            raise ValueError('no space left on device')
        return upsert(method, *args)

    monkeypatch.setitem(qdrant_wire._ROUTES, '/points', refuse_third)
    with qdrant_over_http() as server:
        at = dict(url=server.url, api_key=KEY)
        store = QdrantStore('a', IDENTITY, write=True, **at)
        store.add(names(40), vectors(40), columns=dict(n=list(range(40))))
        with pytest.raises(LaunchError, match='no space left on device'):
            store.flush()
        other = QdrantStore('a', IDENTITY, **at)
        assert len(other) == 20
        store.flush()
        assert len(other) == len(store) == 40
        indexed = [path for _, path, _ in server.asked if 'index' in path]
        assert len(indexed) == 3  # id, path, n


def test_an_update_follows_a_folder(make, tmp_path):
    """The same update as into a folder of files."""
    from PIL import Image

    from mmtpr.apis.gallery_update import update_gallery
    from mmtpr.models.embedder import EmbeddedBatch

    class Embedder:
        def __call__(self, entries):
            for index in range(len(entries)):
                feats = torch.full((1, 4), index + 1.0)
                yield EmbeddedBatch([index], None, feats, {})

    images = tmp_path / 'images'
    images.mkdir()
    for name in 'abc':
        Image.new('RGB', (4, 8)).save(images / f'{name}.png')
    store = make()
    found = update_gallery(store, images, Embedder())
    assert (found.new, found.same) == (3, 0)
    (images / 'a.png').unlink()
    Image.new('RGB', (4, 9)).save(images / 'b.png')
    found = update_gallery(make(), images, Embedder())
    assert (found.vanished, found.changed, found.same) == (1, 1, 1)
    assert make(write=False).ids() == ['b.png', 'c.png']


def test_the_extra_is_named(monkeypatch):
    import sys

    from mmtpr.gallery import qdrant_filter

    monkeypatch.setitem(sys.modules, 'qdrant_client', None)
    qdrant_filter.qdrant.cache_clear()
    with pytest.raises(ImportError, match=r'mmtpr\[qdrant\]'):
        QdrantStore('a', IDENTITY, url=':memory:', write=True)
    qdrant_filter.qdrant.cache_clear()
