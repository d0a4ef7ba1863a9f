"""One reason for each way in which an image cannot be read."""

import builtins
import errno
import os

import mmcv
import numpy as np
import pytest

from mmtpr.datasets.annotations.images import (
    find_bad_images,
    find_missing_images,
    find_unreachable_images,
)
from mmtpr.datasets.transforms import ImageTransforms
from mmtpr.utils.errors import told_message
from mmtpr.utils.images import image_problem, inspect_image, missing_cure

#: Name -> content, of files that are no images.
CONTENTS = {
    'empty.jpg': b'',
    'page.jpg': b'\n<!DOCTYPE html><title>404</title>',
    'pointer.jpg': b'version https://git-lfs.github.com/spec/v1\noid sha256:',
    'text.jpg': b'no image',
}
REASONS = {
    'good.png': '',
    'good.jpg': '',
    'cut.jpg': 'truncated',
    'cut.png': 'truncated',
    'empty.jpg': 'empty',
    'page.jpg': 'a web page',
    'pointer.jpg': 'a git-lfs pointer',
    'text.jpg': 'does not decode',
    'folder.jpg': 'a folder',
    'loop.jpg': 'a loop of links',
    'dangling.jpg': 'missing',
    'absent.jpg': 'missing',
    'good.jpg/of_no_folder.jpg': 'missing',
    f'{"long" * 99}.jpg': 'missing',
    'null\0.jpg': 'missing',
    'pipe.jpg': 'not a file',
    'denied.jpg': 'permission denied',
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    img = np.random.default_rng(0).integers(0, 255, (40, 20, 3), np.uint8)
    for name in ('good.png', 'good.jpg', 'cut.jpg', 'cut.png', 'denied.jpg'):
        mmcv.imwrite(img, str(tmp_path / name))
    for name in ('cut.jpg', 'cut.png'):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:-100])
    for name, content in CONTENTS.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / 'folder.jpg').mkdir()
    (tmp_path / 'loop.jpg').symlink_to('back.jpg')
    (tmp_path / 'back.jpg').symlink_to('loop.jpg')
    (tmp_path / 'dangling.jpg').symlink_to('gone.jpg')
    os.mkfifo(tmp_path / 'pipe.jpg')
    deny(monkeypatch, 'denied.jpg')
    return tmp_path


def deny(monkeypatch, name, number=errno.EACCES):
    """Let a file not be opened; permissions do not bind root."""
    real = builtins.open

    def refuse(file, *args, **kwargs):
        if str(file).endswith(name):
            raise OSError(number, os.strerror(number), str(file))
        return real(file, *args, **kwargs)

    monkeypatch.setattr(builtins, 'open', refuse)


@pytest.mark.parametrize('name', REASONS)
def test_reasons(folder, name):
    assert image_problem(folder / name) == REASONS[name]


def test_whether_it_decodes_is_told_without_looking_at_pixels(
    folder, monkeypatch
):
    """Which takes three times as long as to decode."""

    class Unread(np.ndarray):
        def astype(self, *args):
            raise AssertionError

    pixels = np.zeros((64, 32, 3), np.uint8).view(Unread)
    monkeypatch.setattr(mmcv, 'imfrombytes', lambda content: pixels)
    assert image_problem(folder / 'good.png') == ''
    with pytest.raises(AssertionError):
        inspect_image(folder / 'good.png')


@pytest.mark.parametrize('name', [n for n in REASONS if 'good' not in n])
def test_the_transform_that_loads_says_the_same(folder, name):
    if name.startswith('pipe'):
        pytest.skip('opening it waits for a writer')
    load = ImageTransforms([dict(type='LoadImageFromFile')])
    sample = dict(img_path=str(folder / name))
    if REASONS[name] == 'missing':
        with pytest.raises(FileNotFoundError, match='does not exist'):
            load(sample)
    elif REASONS[name] == 'truncated':
        pytest.skip('decoders differ in whether they fill the rest with grey')
    else:
        reason = f'" cannot be read: {REASONS[name]}. Repair'
        with pytest.raises(ValueError, match=reason):
            load(sample)


def test_one_bad_image_stops_no_search(folder):
    paths = [str(folder / name) for name in REASONS]
    wrong = {str(folder / k): v for k, v in REASONS.items() if v}
    assert find_bad_images(paths) == wrong


def test_what_can_be_told_without_opening(folder):
    found = find_unreachable_images(str(folder / name) for name in REASONS)
    told = ('missing', 'a folder', 'a loop of links', 'not a file')
    assert found == {
        str(folder / k): v for k, v in REASONS.items() if v in told
    }
    absent = find_missing_images([*found, *found])
    assert absent == [p for p in found if not p.endswith('pipe.jpg')]


def test_a_folder_that_may_not_be_listed_is_asked_name_by_name(
    folder, monkeypatch
):
    def refuse(path):
        raise PermissionError(errno.EACCES, 'Permission denied', path)

    monkeypatch.setattr(os, 'scandir', refuse)
    names = ('good.png', 'absent.jpg', 'loop.jpg')
    paths = [str(folder / name) for name in names]
    assert find_missing_images(paths) == paths[1:]
    with monkeypatch.context() as patch:
        patch.setattr(os, 'stat', refuse)
        found = find_unreachable_images(paths)
        assert found == dict.fromkeys(paths, 'permission denied')
        assert find_missing_images(paths) == []


def test_errors_of_the_machine_are_none_of_the_image(folder, monkeypatch):
    deny(monkeypatch, 'good.png', errno.EMFILE)
    with pytest.raises(OSError, match='Too many open files'):
        image_problem(folder / 'good.png')
    load = ImageTransforms([dict(type='LoadImageFromFile')])
    with pytest.raises(OSError, match='Too many open files'):
        load(dict(img_path=str(folder / 'good.png')))


def test_missing_paths_of_another_machine(tmp_path):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a/b.jpg').touch()
    usual = 'Check data_root'
    cure = missing_cure(f'{tmp_path}\\a\\b.jpg', usual)
    assert cure == (
        'The path has backslashes: write it with "/"; '
        f'"{tmp_path}/a/b.jpg" exists.'
    )
    assert missing_cure('D:\\a\\b.jpg', usual).endswith('write it with "/".')
    assert missing_cure('/no-such-home/x/b.jpg', usual) == (
        'Nothing of its path is on this machine. Check data_root; paths in '
        'annotations should count from the image folder.'
    )
    for path in (str(tmp_path / 'c/d.jpg'), 'c/d.jpg', 's3://a/b.jpg'):
        assert missing_cure(path, usual) == 'Check data_root.'


@pytest.mark.parametrize(
    ('path', 'error', 'match'),
    [
        ('http://127.0.0.1:9/a.png', ConnectionError, 'cannot be downloaded'),
        ('gs://bucket/a.png', ValueError, 'nothing reads paths with "gs://"'),
        ('s3://bucket/a.png', ValueError, 'cannot be read: .*petrel'),
    ],
)
def test_paths_with_a_scheme(path, error, match):
    with pytest.raises(error, match=match) as told:
        image_problem(path)
    assert told_message(told.value) == str(told.value)
