"""Filters on the columns of a store."""

from datetime import datetime

import numpy as np
import pytest

from mmtpr.gallery import WhereError

COLUMNS = dict(
    camera=[1, 2, 3, None],
    height=[1.5, float('nan'), 1.8, 2],
    seen=[True, False, None, True],
    track=['a', "b'c", None, 'é'],
    time=[datetime(2024, 5, 1, hour) for hour in range(4)],
)
COLUMNS['Größe in cm'] = np.arange(4)


@pytest.fixture
def store(make, vectors, names):
    store = make()
    store.add(names(4), vectors(4), columns=COLUMNS)
    store.flush()
    # Of items that came before, a new column has no values.
    store.add(names(2, 4), vectors(2, seed=1), columns=dict(floor=[7, 8]))
    store.flush()
    return store


@pytest.mark.parametrize(
    ('where', 'wanted'),
    [
        ('camera == 2', [1]),
        ('camera != 2', [0, 2]),
        ('not camera == 2', [0, 2]),
        ('camera in (1, 3)', [0, 2]),
        ('camera not in (1, 3)', [1]),
        ('camera == 1.0', [0]),
        ('camera < 99999999999999999999', [0, 1, 2]),
        (f'camera < {"9" * 300}', [0, 1, 2]),
        (f'camera == {"0" * 5000}2', [1]),
        ('height >= 1.8', [2, 3]),
        ('height < 2', [0, 2]),
        ('seen == true', [0, 3]),
        ("track == 'b''c' or track > 'z'", [1, 3]),
        ("time >= '2024-05-01 02:00'", [2, 3]),
        ("time == '2024-05-01T03:00:00+02:00'", [1]),
        ('`Größe in cm` > 2', [3]),
        ('floor in [7]', [4]),
        ('floor == 7 or camera == 1', [0, 4]),
        ('floor == 7 and camera == 1', []),
        ("id == 'i5'", [5]),
        ("path in ('i1', 'x')", [1]),
    ],
)
def test_what_is_let_through(store, where, wanted):
    ids = [f'i{n}' for n in wanted]
    assert store.ids(where) == ids
    query = store.fetch(['i0'])[0]
    for exact in (False, True):
        (hits,) = store.search(query, 9, where, exact=exact)
        assert sorted(hits.ids) == ids
    store.compact()
    assert store.ids(where) == ids


@pytest.mark.parametrize(
    ('where', 'match'),
    [
        ('cam == 2', 'no column "cam"; there are Größe in cm, camera, floor'),
        ("camera == '2'", "holds whole numbers and cannot be comp.*with '2'"),
        ('camera == true', 'cannot be compared with true'),
        ('camera in (1, true)', 'cannot be compared with true'),
        ('track == 2', 'holds texts and cannot be compared with 2'),
        ('seen == 1', 'holds true or false and cannot be compared with 1'),
        ('seen < true', 'compare it by == or !=, not <'),
        ('time > 2024', 'holds times and cannot be compared with 2024'),
        ("time > 'May'", "'May' is none: write '2024-05-01'"),
        ("time > '0001-01-01T00:00+05:00'", 'is none: write'),
        ("time < '9999-12-31T23:59-05:00'", 'is none: write'),
        ('camera ==', 'cannot be read at character 10'),
        ("__import__('os')", 'cannot be read'),
    ],
)
def test_what_is_refused(store, where, match):
    with pytest.raises(WhereError, match=match) as caught:
        store.search(store.fetch(['i0'])[0], where=where)
    assert '\n' not in str(caught.value)


def test_a_column_keeps_its_kind(store, vectors):
    new = vectors(1, seed=5)
    match = 'holds whole numbers; the new items bring texts'
    with pytest.raises(ValueError, match=match):
        store.add(['x'], new, columns=dict(camera=['3']))
    store.add(
        ['x'], new, columns=dict(height=[2], camera=[None], empty=[None])
    )
    assert store.columns(['x'])['height'] == [2.0]
    with pytest.raises(WhereError, match='no column "empty"'):
        store.ids('empty == 1')
