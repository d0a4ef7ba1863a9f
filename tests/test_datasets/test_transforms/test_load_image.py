import logging
import pickle

import cv2
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from mmengine.logging import MMLogger

from mmtpr.datasets.transforms import ImageTransforms, LoadImage, load_image
from mmtpr.datasets.transforms.load_image import jpeg_size


def picture(height=200, width=80, channels=3):
    small = np.random.default_rng(0).integers(0, 256, (9, 5, channels))
    image = cv2.resize(small.astype(np.uint8), (width, height))
    return image.reshape(height, width, channels)


def encode(image, ending='.jpg'):
    return cv2.imencode(ending, image)[1].tobytes()


def with_exif(content, orientation):
    """A jpeg that asks to be turned."""
    entry = b'\x01\x12\x00\x03\x00\x00\x00\x01' + bytes((0, orientation, 0, 0))
    body = b'Exif\0\0MM\0*\0\0\0\x08\0\x01' + entry + bytes(4)
    head = b'\xff\xe1' + (len(body) + 2).to_bytes(2, 'big')
    return content[:2] + head + body + content[2:]


def load(transform, path):
    return transform(dict(img_path=str(path)))


@pytest.fixture
def write(tmp_path):
    def write(content, name='a.jpg'):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


class Turbo:
    """Stands in for the decoder of PyTurboJPEG: pixels of its own."""

    def __init__(self):
        self.asked = []

    def decode(self, content, pixel_format, scaling_factor):
        if b'broken' in content:
            raise OSError('Unsupported color conversion request')
        self.asked.append((pixel_format, scaling_factor))
        height, width = jpeg_size(content)
        part = scaling_factor[1]
        return np.full((-(-height // part), -(-width // part), 3), 7, np.uint8)


@pytest.fixture
def turbo(monkeypatch):
    decoder = Turbo()
    monkeypatch.setattr(load_image, '_turbo_decoder', lambda: (decoder, 1))
    return decoder


def test_without_options_it_is_mmcvs(write):
    for name in ('a.jpg', 'a.png'):
        path = write(encode(picture(), name[1:]), name)
        ours, theirs = load(LoadImage(), path), load(LoadImageFromFile(), path)
        np.testing.assert_array_equal(ours.pop('img'), theirs.pop('img'))
        assert ours == theirs


@pytest.mark.parametrize(
    ('reduce_to', 'part'),
    [
        ((80, 200), 1),
        ((41, 100), 1),
        ((40, 101), 1),
        ((40, 100), 2),
        ((20, 60), 2),
        ((20, 50), 4),
        ((10, 25), 8),
        ((1, 1), 8),
        ((300, 300), 1),
    ],
)
def test_decoded_at_a_part_of_the_size(write, reduce_to, part):
    path = write(encode(picture()))
    out = load(LoadImage(reduce_to=reduce_to), path)
    assert (
        out['img_shape'] == out['img'].shape[:2] == (200 // part, 80 // part)
    )
    assert out['ori_shape'] == (200, 80)
    whole = load(LoadImageFromFile(), path)['img']
    small = cv2.resize(
        whole, (80 // part, 200 // part), interpolation=cv2.INTER_AREA
    )
    assert np.abs(out['img'].astype(int) - small).mean() < 3
    if part == 1:
        np.testing.assert_array_equal(out['img'], whole)


@pytest.mark.parametrize('orientation', [1, 3, 6])
def test_images_that_are_turned_are_decoded_in_the_plain_way(
    write, turbo, orientation
):
    path = write(with_exif(encode(picture()), orientation))
    theirs = load(LoadImageFromFile(), path)
    turned = orientation == 6
    assert theirs['img_shape'] == ((80, 200) if turned else (200, 80))
    transform = LoadImage(imdecode_backend='turbojpeg', reduce_to=(10, 10))
    ours = load(transform, path)
    np.testing.assert_array_equal(ours.pop('img'), theirs.pop('img'))
    assert ours == theirs
    assert not turbo.asked


def test_turbojpeg_decodes_jpegs_alone(write, turbo):
    transform = LoadImage(imdecode_backend='turbojpeg')
    assert (load(transform, write(encode(picture())))['img'] == 7).all()
    small = LoadImage(imdecode_backend='turbojpeg', reduce_to=(20, 50))
    assert load(small, write(encode(picture())))['img_shape'] == (50, 20)
    assert turbo.asked == [(1, (1, 1)), (1, (1, 4))]
    png = write(encode(picture(), '.png'), 'a.png')
    np.testing.assert_array_equal(load(transform, png)['img'], picture())
    # What it cannot decode OpenCV may: here, bytes after the end.
    path = write(encode(picture()) + b'broken')
    theirs = load(LoadImageFromFile(), path)['img']
    np.testing.assert_array_equal(load(transform, path)['img'], theirs)
    assert len(turbo.asked) == 2


@pytest.fixture
def log(caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    with caplog.at_level(logging.WARNING, logger=logger.name):
        yield caplog
    logger.removeHandler(caplog.handler)


@pytest.mark.parametrize('absent', ['module', 'library'])
def test_without_turbojpeg_one_line_says_so(monkeypatch, log, write, absent):
    class Module:
        TJPF_BGR = 1

        @staticmethod
        def TurboJPEG():
            raise RuntimeError('Unable to locate turbojpeg\nSecond line')

    def require(module, extra, purpose):
        if absent == 'module':
            raise ImportError(f'{purpose} needs "{module}"')
        return Module

    monkeypatch.setattr(load_image, 'require', require)
    load_image._turbo_decoder.cache_clear()
    try:
        made = [LoadImage(imdecode_backend='turbojpeg') for _ in range(3)]
    finally:
        load_image._turbo_decoder.cache_clear()
    lines = [r.getMessage() for r in log.records]
    assert len(lines) == 1
    assert '\n' not in lines[0]
    assert lines[0].endswith('OpenCV decodes the images instead.')
    path = write(encode(picture()))
    for transform in made:
        np.testing.assert_array_equal(
            load(transform, path)['img'],
            load(LoadImageFromFile(), path)['img'],
        )


def test_bad_images_are_told_as_ever(write, turbo):
    broken = encode(picture())
    for content, reason in (
        (b'', 'empty'),
        (b'\xff\xd8', 'does not decode'),
        (broken[:300], 'truncated'),
    ):
        path = write(content)
        transform = LoadImage(imdecode_backend='turbojpeg', reduce_to=(9, 9))
        with pytest.raises(ValueError, match=f'cannot be read: {reason}'):
            ImageTransforms([transform])(dict(img_path=str(path)))
        quiet = LoadImage(reduce_to=(9, 9), ignore_empty=True)
        assert load(quiet, path) is None
    with pytest.raises(FileNotFoundError, match='does not exist'):
        ImageTransforms([transform])(dict(img_path='gone.jpg'))


def test_sizes_in_headers():
    content = encode(picture(123, 45))
    assert jpeg_size(content) == (123, 45)
    assert jpeg_size(content[:2] + b'\xff' * 3 + content[2:]) == (123, 45)
    progressive = cv2.imencode(
        '.jpg', picture(31, 7), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
    )[1].tobytes()
    assert jpeg_size(progressive) == (31, 7)
    assert jpeg_size(encode(picture(), '.png')) is None
    assert jpeg_size(b'') is None
    assert jpeg_size(b'\xff\xd8\xff\xc0\x00\x00') is None
    scan = content.index(b'\xff\xda')
    for length in range(scan + 2):
        assert jpeg_size(content[:length]) is None


def test_options_survive_pickling(write, turbo):
    transform = LoadImage(imdecode_backend='turbojpeg', reduce_to=[40, 100])
    other = pickle.loads(pickle.dumps(transform))
    path = write(encode(picture()))
    assert load(other, path)['img_shape'] == (100, 40)
    float32 = LoadImage(reduce_to=(40, 100), to_float32=True)
    assert load(float32, path)['img'].dtype == np.float32
    grey = LoadImage(reduce_to=(40, 100), color_type='grayscale')
    assert load(grey, path)['img'].shape == (200, 80)
