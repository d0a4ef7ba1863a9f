"""Images of a folder."""

import os

import pytest

from mmtpr.apis import list_images


@pytest.fixture
def lines(monkeypatch):
    told = []
    monkeypatch.setattr(
        'mmtpr.apis.gallery_files.print_log',
        lambda line, **_: told.append(line),
    )
    return told


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'x')


def test_linked_folders_and_links_to_nothing(tmp_path, lines):
    folder, elsewhere = tmp_path / 'photos', tmp_path / 'disk'
    touch(folder / 'b.jpg', folder / 'cam/a.PNG', elsewhere / 'deep/c.jpeg')
    (folder / 'linked').symlink_to(elsewhere)
    (folder / 'gone.jpg').symlink_to(tmp_path / 'nowhere.jpg')
    touch(folder / 'notes.txt')
    found = [os.path.relpath(path, folder) for path in list_images(folder)]
    assert found == ['b.jpg', 'cam/a.PNG', 'gone.jpg', 'linked/deep/c.jpeg']
    assert lines == []


def test_loops_of_links_end(tmp_path):
    touch(tmp_path / 'a/1.jpg', tmp_path / 'b/2.jpg')
    (tmp_path / 'a/up').symlink_to(tmp_path)
    (tmp_path / 'b/other').symlink_to(tmp_path / 'a')
    names = [os.path.basename(path) for path in list_images(tmp_path)]
    assert sorted(names) == ['1.jpg', '2.jpg']


def test_other_formats_are_counted(tmp_path, lines):
    touch(*(tmp_path / f'{i}.gif' for i in range(3)), tmp_path / 'x.AVIF')
    with pytest.raises(ValueError, match=r'there are 3 \.gif, 1 \.avif'):
        list_images(tmp_path)
    touch(tmp_path / 'a.jpg')
    assert list_images(tmp_path) == [str(tmp_path / 'a.jpg')]
    (line,) = lines
    assert line.startswith('4 files of the gallery')
    assert '(3 .gif, 1 .avif)' in line


@pytest.mark.parametrize('item', [5, None, b'a.jpg', ['a.jpg']])
def test_items_that_are_no_paths(item):
    with pytest.raises(ValueError, match=r'Item 1 of the gallery is .*, not'):
        list_images(['a.jpg', item])
