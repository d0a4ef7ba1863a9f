import mmcv
import numpy as np
import pytest

from mmtpr.datasets.annotations.images import (
    find_bad_images,
    find_missing_images,
)
from mmtpr.utils.images import image_problem


@pytest.fixture
def images(tmp_path):
    img = np.random.default_rng(0).integers(0, 255, (40, 20, 3), np.uint8)
    for name in ('good.png', 'good.jpg', 'cut.jpg', 'cut.png'):
        mmcv.imwrite(img, str(tmp_path / name))
    for name in ('cut.jpg', 'cut.png'):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:-100])
    (tmp_path / 'empty.jpg').write_bytes(b'')
    (tmp_path / 'text.jpg').write_bytes(b'<html>404</html>')
    return tmp_path


@pytest.mark.parametrize('name', ['cut.png', 'cut.jpg'])
def test_cut_off_images(images, name, monkeypatch):
    assert image_problem(str(images / name))
    # some versions of OpenCV fill the rest with grey
    monkeypatch.setattr(mmcv, 'imfrombytes', lambda content: 'an image')
    assert image_problem(str(images / name)) == 'truncated'


def test_bad_images_come_in_order_and_once(images):
    names = ['text.jpg', 'good.png', 'absent.jpg', 'text.jpg', 'empty.jpg']
    bad = find_bad_images([str(images / name) for name in names], 2)
    assert [path.rsplit('/', 1)[1] for path in bad] == [
        'text.jpg',
        'absent.jpg',
        'empty.jpg',
    ]


def test_nothing_to_check():
    assert find_bad_images([]) == {}


def test_missing_files_are_found_folder_by_folder(tmp_path, monkeypatch):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a/1.jpg').touch()
    (tmp_path / 'a/2.jpg').mkdir()  # no file
    (tmp_path / 'a/3.jpg').symlink_to(tmp_path / 'a/1.jpg')
    (tmp_path / 'a/4.jpg').symlink_to(tmp_path / 'gone.jpg')
    names = ['a/1.jpg', 'a/2.jpg', 'a/3.jpg', 'a/4.jpg', 'b/1.jpg', 'a/2.jpg']
    monkeypatch.chdir(tmp_path)
    found = find_missing_images(names)
    assert found == ['a/2.jpg', 'a/4.jpg', 'b/1.jpg']
    assert find_missing_images(['x.jpg', 'a/1.jpg']) == ['x.jpg']
