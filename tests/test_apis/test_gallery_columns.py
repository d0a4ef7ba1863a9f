"""Updates that read contents, and that bring columns of the user."""

import os
from datetime import datetime

import pytest
import torch
from gallery_model import write_image, write_model

from mmtpr.apis import ColumnTable, load_embedder, update_gallery
from mmtpr.gallery import FaissStore

pa = pytest.importorskip('pyarrow', reason='needs the extra [search]')
pytest.importorskip('faiss', reason='the extra [search] is not installed')
NAMES = [f'cam {n}/größe {n}.png' for n in range(6)]


@pytest.fixture(scope='module')
def loaded(tmp_path_factory):
    folder = tmp_path_factory.mktemp('model')
    return load_embedder(*write_model(folder), batch_size=4)


@pytest.fixture
def images(tmp_path):
    for number, name in enumerate(NAMES):
        write_image(tmp_path / 'photos' / name, (40 * number, 0, 200))
    return tmp_path / 'photos'


@pytest.fixture
def update(tmp_path, images, loaded):
    """Updates the store; gives what was found and what was embedded."""

    def run(**options):
        given = []

        def embed(entries):
            given.extend(entry['img_path'] for entry in entries)
            return loaded[0](entries)

        path = tmp_path / 'store'
        with FaissStore(path, loaded[1], write=True) as store:
            found = update_gallery(store, images, embed, **options)
        assert FaissStore(path).verify() == []
        names = [os.path.relpath(path, images) for path in given]
        return found, [name.replace(os.sep, '/') for name in names]

    return run


@pytest.fixture
def columns(tmp_path):
    return lambda: FaissStore(tmp_path / 'store').columns(NAMES)


@pytest.fixture
def told(monkeypatch):
    lines = []
    for name in ('gallery_update', 'column_table'):
        monkeypatch.setattr(f'mmtpr.apis.{name}.warn', lines.append)
    return lines


def change_unseen(path, colour):
    """Another content of the same size and time."""
    facts, size = path.stat(), path.stat().st_size
    write_image(path, colour)
    content = path.read_bytes()
    assert len(content) <= size
    path.write_bytes(content + bytes(size - len(content)))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def test_content_tells_what_time_does_not(update, images, tmp_path):
    for name in NAMES:  # room for another content
        with open(images / name, 'ab') as file:
            file.write(bytes(100))
    update(by_content=True)
    before = FaissStore(tmp_path / 'store').fetch(NAMES)
    change_unseen(images / NAMES[1], 'green')
    os.utime(images / NAMES[2], ns=(5, 5))  # touched, and no more
    found, given = update()
    assert given == [NAMES[2]]  # by time alone it is wrong in both
    # Embedded without being read for its hash, it has none any more.
    assert (
        FaissStore(tmp_path / 'store').columns(NAMES)['file_hash'][2] is None
    )
    change_unseen(images / NAMES[1], 'white')
    os.utime(images / NAMES[3], ns=(5, 5))
    found, given = update(by_content=True)
    assert given == [NAMES[1]]
    assert (found.new, found.changed, found.same) == (0, 1, 5)
    assert found.rewritten == 2  # a hash, and a time
    after = FaissStore(tmp_path / 'store').fetch(NAMES)
    assert not torch.equal(after[1], before[1])
    assert torch.equal(after[[0, 3, 4, 5]], before[[0, 3, 4, 5]])
    torch.testing.assert_close(after[2], before[2])  # of another batch
    facts = FaissStore(tmp_path / 'store').columns(NAMES)
    assert None not in facts['file_hash']
    assert facts['file_time'][3] == 5
    found, given = update()  # and now time is enough again
    assert (given, found.same, found.rewritten) == ([], 6, 0)


def test_broken_images_are_remembered_by_content(update, images):
    (images / 'broken.jpg').write_bytes(b'no image')
    found, given = update(by_content=True)
    assert (found.new, [*found.broken]) == (6, ['broken.jpg'])
    os.utime(images / 'broken.jpg', ns=(5, 5))
    found, given = update(by_content=True)
    assert (given, [*found.broken]) == ([], ['broken.jpg'])
    (images / 'broken.jpg').write_bytes(b'not yet.')
    os.utime(images / 'broken.jpg', ns=(5, 5))
    assert update(by_content=True)[1] == ['broken.jpg']


def test_ten_percent_of_broken_images(update, images, told, tmp_path):
    for number in range(36):
        write_image(images / f'more/{number}.png', (number, 0, 0))
    wrong = {
        'cut.jpg': (images / 'more/3.png').read_bytes()[:60],
        'empty.png': b'',
        'page.png': b'<!DOCTYPE html><html>',
        'text.webp': b'no image',
        'zero.bmp': bytes(500),
    }
    for name, content in wrong.items():
        (images / name).write_bytes(content)
    found, _ = update()
    assert (found.new, sorted(found.broken)) == (42, sorted(wrong))
    assert sum('is left out' in line for line in told) == 5
    assert told[-1].startswith('5 of 47 images')
    found, given = update()
    assert (found.same, sorted(found.broken), given) == (
        *(42, sorted(wrong)),
        [],
    )
    assert sorted(FaissStore(tmp_path / 'store').ids())[:6] == NAMES


def write_table(folder, ending, **values):
    path = folder / f'table.{ending}'
    if ending == 'parquet':
        pa.parquet.write_table(pa.table(values), path)
        return path
    rows = zip(*values.values(), strict=True)
    lines = [','.join(values)]
    lines += [','.join('' if x is None else str(x) for x in r) for r in rows]
    path.write_text('\n'.join(lines), encoding='utf-8-sig')
    return path


@pytest.mark.parametrize('ending', ['csv', 'parquet'])
def test_columns_of_a_file(update, images, columns, tmp_path, ending):
    file = write_table(
        tmp_path,
        ending,
        camera=[3, 1, None, 2, 5, 4],
        # In another order, some absolute.
        path=[*NAMES[3:], *(str(images / name) for name in NAMES[:3])],
        time=[datetime(2024, 5, n, 13, 30) for n in range(1, 7)],
        name=['a', None, 'c', 'd', 'e', 'f'],
    )
    found, given = update(columns=ColumnTable.read(file))
    assert len(given) == 6
    assert columns()['camera'] == [2, 5, 4, 3, 1, None]
    assert columns()['name'] == ['d', 'e', 'f', 'a', None, 'c']
    assert columns()['time'][3] == datetime(2024, 5, 1, 13, 30)
    store = FaissStore(tmp_path / 'store')
    where = "camera >= 3 and time > '2024-05-03'"
    assert sorted(store.ids(where)) == NAMES[1:3]
    before = store.fetch(NAMES)

    # The same file changes nothing; another one does without embedding.
    found, given = update(columns=ColumnTable.read(file))
    assert (given, found.rewritten) == ([], 0)
    table = ColumnTable(dict(path=NAMES, camera=[9] * 6, size=[0.5] * 6))
    found, given = update(columns=table)
    assert (given, found.same, found.rewritten) == ([], 6, 6)
    assert columns()['camera'] == [9] * 6
    assert columns()['name'] == ['d', 'e', 'f', 'a', None, 'c']
    assert torch.equal(FaissStore(tmp_path / 'store').fetch(NAMES), before)


def test_images_keep_their_columns(update, images, columns, told):
    table = ColumnTable(dict(path=NAMES, camera=[*range(6)]))
    update(columns=table)
    write_image(images / NAMES[1], 'white')
    os.utime(images / NAMES[1], ns=(7, 7))
    write_image(images / 'new.png', 'white')
    found, _ = update()
    assert (found.new, found.changed) == (1, 1)
    assert columns()['camera'] == [*range(6)]
    (line,) = told
    assert line.startswith("1 new images, first 'new.png', have no values in")


def test_missing_rows(update, images, columns, told, tmp_path):
    update(columns=ColumnTable(dict(path=NAMES, camera=[1] * 6)))
    table = ColumnTable(dict(path=NAMES[:2], camera=[7, 8]), '"t.csv"')
    write_image(images / 'new.png', 'white')
    for options in ({}, dict(missing_rows='error')):
        match = r'5 of 7 images have no row in "t.csv": "cam 2/.*--missing-row'
        with pytest.raises(ValueError, match=match):
            update(columns=table, **options)
    assert columns()['camera'] == [1] * 6  # nothing was done
    assert len(FaissStore(tmp_path / 'store')) == 6
    _, given = update(columns=table, missing_rows='null')
    assert given == ['new.png']
    assert columns()['camera'] == [7, 8, 1, 1, 1, 1]
    store = FaissStore(tmp_path / 'store')
    assert store.columns(['new.png'])['camera'] == [None]
    (line,) = told
    assert line.startswith('5 of 7 images have no row')
    with pytest.raises(ValueError, match='missing_rows is one of error, null'):
        update(columns=table, missing_rows='drop')


def test_rows_of_no_image(update, told):
    paths = [*NAMES, *(f'gone {n}.png' for n in range(9))]
    update(columns=ColumnTable(dict(path=paths, camera=[1] * 15), '"t.csv"'))
    (line,) = told
    assert line.startswith('9 of 15 rows of "t.csv" are of no image in')
    assert line.endswith('"gone 4.png" and 4 more.')


@pytest.mark.parametrize(
    ('values', 'match'),
    [
        (dict(camera=[1]), 'no column "path"; it has camera'),
        (dict(path=['a']), 'no column but "path"'),
        (dict(path=['a'], file_time=[3]), '"file_time", which an update'),
        (dict(path=['a', None], camera=[1, 2]), 'Row 2 of the table has no'),
        (dict(path=NAMES, camera=[1, 'a', 2, 3, 4, 5]), 'mixed or unknown'),
        (dict(path=NAMES, id=[1] * 6), "the store's own"),
        (dict(path=[*NAMES, NAMES[1]], camera=[1] * 7), 'two rows of the im'),
    ],
)
def test_tables_that_are_refused(update, columns, values, match):
    update()
    with pytest.raises(ValueError, match=match):
        update(columns=ColumnTable(values))
    assert 'camera' not in columns()


@pytest.mark.parametrize(
    ('name', 'content', 'match'),
    [
        ('a.csv', b'path,camera\na.png,1,2\n', 'cannot be read: '),
        ('a.csv', b'', 'cannot be read: '),
        ('a.csv', b'path,camera,camera\na,1,2\n', 'two columns "camera"'),
        ('a.csv', b'path,camera\n,1\n', 'Row 1 of .* has no path'),
        ('a.parquet', b'PAR1', 'cannot be read: '),
        ('a.xlsx', b'', r'ends in \.csv or \.parquet'),
    ],
)
def test_files_that_are_refused(tmp_path, name, content, match):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=match):
        ColumnTable.read(tmp_path / name)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match='There is no table'):
        ColumnTable.read(tmp_path / 'a.csv')


def test_another_kind_than_in_the_store(update):
    update(columns=ColumnTable(dict(path=NAMES, camera=[1] * 6)))
    with pytest.raises(ValueError, match='holds whole numbers; the new items'):
        update(columns=ColumnTable(dict(path=NAMES, camera=['a'] * 6)))


def test_a_column_without_any_value(update, told, columns):
    table = dict(path=NAMES, camera=[1] * 6, none=[None] * 6)
    update(columns=ColumnTable(table))
    assert 'none' not in columns()
    assert told == [
        'The columns none of the table have no value at all and are left out.'
    ]
