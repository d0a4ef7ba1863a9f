"""Only images of the gallery are shown."""

import os
import sys

import numpy as np
import pytest
import torch
from gallery_model import write_image
from PIL import Image

from mmtpr.gallery import FaissStore, ModelIdentity
from mmtpr.page import GalleryImages

pytestmark = pytest.mark.usefixtures('needs_the_extra')


@pytest.fixture
def make(tmp_path):
    """Makes a store of ids and paths."""

    def make_store(ids, paths):
        identity = ModelIdentity('m', 'w', 't')
        vectors = torch.eye(len(ids), 8)
        with FaissStore(tmp_path / 'store', identity, write=True) as store:
            store.add(ids, vectors, [str(path) for path in paths])
        return FaissStore(tmp_path / 'store')

    return make_store


def test_an_image_of_the_gallery(make, tmp_path):
    path = tmp_path / 'photos/a ä/1.png'
    write_image(path, (200, 0, 0))
    images = GalleryImages(make(['a ä/1.png'], [path]))
    assert images.path('a ä/1.png') == os.path.realpath(path)
    image = images.thumbnail('a ä/1.png', (16, 64))
    assert image.size == (16, 32)
    assert np.asarray(image)[0, 0].tolist() == [200, 0, 0]


@pytest.mark.parametrize(
    'name',
    [
        '../secret.png',
        '../../../../../../etc/passwd',
        '/etc/passwd',
        '1.png/../../secret.png',
        '',
        '1.png\0',
        'a' * 100_000,
    ],
)
def test_no_other_id(make, tmp_path, name):
    write_image(tmp_path / 'secret.png', 'white')
    write_image(tmp_path / 'photos/1.png', 'red')
    images = GalleryImages(make(['1.png'], [tmp_path / 'photos/1.png']))
    with pytest.raises(ValueError, match='There is no image') as caught:
        images.path(name)
    assert len(str(caught.value)) < 200
    with pytest.raises(ValueError, match='There is no image'):
        images.path(str(tmp_path / 'photos/1.png'))


@pytest.mark.skipif(sys.platform == 'win32', reason='links need a right')
@pytest.mark.parametrize('kind', ['file', 'folder', 'replaced'])
def test_links_that_lead_out(make, tmp_path, kind):
    write_image(tmp_path / 'elsewhere/1.png', 'white')
    (tmp_path / 'photos').mkdir()
    name = 'in/1.png' if kind == 'folder' else '1.png'
    path = tmp_path / 'photos' / name
    if kind == 'folder':
        path.parent.symlink_to(tmp_path / 'elsewhere')
    elif kind == 'file':
        path.symlink_to(tmp_path / 'elsewhere/1.png')
    else:
        write_image(path, 'red')
    store = make([name], [path])
    images = GalleryImages(store)
    if kind == 'replaced':  # after the page has shown it
        images.path(name)
        path.unlink()
        path.symlink_to(tmp_path / 'elsewhere/1.png')
    with pytest.raises(ValueError, match='outside of the folder') as caught:
        images.path(name)
    assert str(tmp_path) not in str(caught.value)
    allowed = GalleryImages(store, [tmp_path / 'elsewhere'])
    assert allowed.path(name).endswith('1.png')


@pytest.mark.skipif(sys.platform == 'win32', reason='links need a right')
def test_a_gallery_that_is_reached_by_a_link(make, tmp_path):
    write_image(tmp_path / 'disk/1.png', 'white')
    (tmp_path / 'photos').symlink_to(tmp_path / 'disk')
    images = GalleryImages(make(['1.png'], [tmp_path / 'photos/1.png']))
    assert images.path('1.png') == os.path.realpath(tmp_path / 'disk/1.png')


def test_paths_that_climb_are_refused(make, tmp_path):
    write_image(tmp_path / 'secret.png', 'white')
    (tmp_path / 'photos').mkdir()
    name = '../secret.png'
    images = GalleryImages(make([name], [f'{tmp_path}/photos/{name}']))
    with pytest.raises(ValueError, match='outside of the folder'):
        images.path(name)


def test_folders_are_named_for_other_ids(make, tmp_path):
    """Of items that did not come by an update nothing tells the folder."""
    write_image(tmp_path / 'photos/1.png', 'white')
    write_image(tmp_path / 'photos2/1.png', 'white')
    paths = [tmp_path / 'photos/1.png', tmp_path / 'photos2/1.png']
    store = make(['first', 'second'], paths)
    with pytest.raises(ValueError, match='outside of the folder'):
        GalleryImages(store).path('first')
    images = GalleryImages(store, [tmp_path / 'photos'])
    assert images.path('first') == os.path.realpath(paths[0])
    with pytest.raises(ValueError, match='outside of the folder'):
        images.path('second')
    with pytest.raises(FileNotFoundError, match='not a folder'):
        GalleryImages(store, [tmp_path / 'nothing'])


def test_what_is_no_image_is_not_shown(make, tmp_path):
    text, gone = tmp_path / 'photos/1.png', tmp_path / 'photos/2.png'
    text.parent.mkdir()
    text.write_text('a secret')
    ids = ['1.png', '2.png', '3.png']
    paths = [text, gone, 's3://bucket/3.png']
    images = GalleryImages(make(ids, paths))
    reasons = ('cannot be read', 'missing', 'not a file of')
    for name, why in zip(ids, reasons, strict=True):
        with pytest.raises(ValueError, match=why):
            images.thumbnail(name)


def test_what_else_a_file_holds_stays(make, tmp_path):
    path = tmp_path / 'photos/1.jpg'
    path.parent.mkdir()
    info = Image.Exif()
    info[0x010E] = 'who took it'
    Image.new('RGB', (8, 8)).save(path, exif=info, comment=b'whom it shows')
    image = GalleryImages(make(['1.jpg'], [path])).thumbnail('1.jpg')
    assert not image.info  # of which Gradio writes the EXIF data
    image.save(tmp_path / 'out.jpg')
    for secret in (b'who took it', b'whom it shows'):
        assert secret in path.read_bytes()
        assert secret not in (tmp_path / 'out.jpg').read_bytes()
