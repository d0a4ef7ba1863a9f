"""Photos that users bring."""

import pytest
from gallery_model import write_image
from PIL import Image
from served_page import write_head

from mmtpr.page import check_photo


def test_a_photo(tmp_path):
    path = tmp_path / 'photo ä.png'
    write_image(path, 'red')
    photo = check_photo(path)
    assert photo.path == str(path)
    assert set(photo.to_dict()) == {'sha256'}
    assert len(photo.sha256) == 64


@pytest.mark.parametrize(
    ('name', 'content'),
    [
        ('text.jpg', b'no image at all'),
        ('empty.png', b''),
        ('page.png', b'<!doctype html><script>alert(1)</script>'),
        ('drawing.svg', b'<svg xmlns="http://www.w3.org/2000/svg"/>'),
        ('head.png', b'\x89PNG\r\n\x1a\n'),
        ('script.eps', b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n'),
    ],
)
def test_a_file_that_is_no_image(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match='no image that can be read'):
        check_photo(path)


def test_half_an_image(tmp_path):
    write_image(tmp_path / 'whole.png', 'red')
    Image.radial_gradient('L').save(tmp_path / 'whole.png')
    content = (tmp_path / 'whole.png').read_bytes()
    (tmp_path / 'half.png').write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match='cannot be read: truncated'):
        check_photo(tmp_path / 'half.png')


@pytest.mark.parametrize(
    ('size', 'told'),
    [((10_000, 10_000), '100 megapixels'), ((60_000, 60_000), 'megapixels')],
)
def test_a_photo_of_100_megapixels(tmp_path, size, told):
    """Told by its head: the rest is not there to be decoded."""
    write_head(tmp_path / 'large.png', *size)
    with pytest.raises(ValueError, match=f'{told}; at most 50 are'):
        check_photo(tmp_path / 'large.png')


def test_a_real_photo_of_100_megapixels(tmp_path):
    path = tmp_path / 'large.png'
    Image.new('1', (10_000, 10_000)).save(path)
    with pytest.raises(ValueError, match='100 megapixels; at most 50'):
        check_photo(path)
    small = tmp_path / 'small.png'
    write_image(small, 'red')
    with pytest.raises(ValueError, match='0 megapixels; at most 0'):
        check_photo(small, megapixels=0.001)


def test_a_file_that_is_too_large(tmp_path):
    write_image(tmp_path / 'a.png', 'red')
    with pytest.raises(ValueError, match='at most 5e-05 MB are taken'):
        check_photo(tmp_path / 'a.png', megabytes=0.00005)
