import mmcv
import numpy as np
import pytest

from mmtpr.datasets.transforms import (
    ImageTransforms,
    PadCrop,
    RandomErasingMean,
)
from mmtpr.datasets.transforms.random_erasing_mean import CLIP_MEAN_BGR

LOAD = dict(type='LoadImageFromFile')


@pytest.fixture
def image(tmp_path):
    path = tmp_path / 'a.png'
    img = np.arange(12 * 6 * 3, dtype=np.uint8).reshape(12, 6, 3)
    mmcv.imwrite(img, str(path))
    return str(path), img


def test_sample_without_image_passes():
    sample = dict(role='query', caption='A man.')
    assert ImageTransforms([LOAD])(sample) == sample


def test_image_is_loaded_and_changed(image):
    path, img = image
    resize = dict(type='Resize', scale=(3, 4), keep_ratio=False)
    out = ImageTransforms([LOAD, resize])(dict(img_path=path, pid=1))
    assert out['img'].shape == (4, 3, 3)
    assert out['pid'] == 1
    plain = ImageTransforms([LOAD])(dict(img_path=path))
    np.testing.assert_array_equal(plain['img'], img)


def test_another_image_of_the_sample(image):
    path, img = image
    transform = ImageTransforms(
        [LOAD], mapping=dict(img_path='reference_path', img='reference_img')
    )
    sample = dict(img_path='gone.png', img='kept', reference_path=path)
    out = transform(sample)
    np.testing.assert_array_equal(out['reference_img'], img)
    assert set(out) == {*sample, 'reference_img'}
    assert (out['img'], out['img_path']) == ('kept', 'gone.png')
    assert transform(dict(img_path=path)) == dict(img_path=path)


def test_missing_image_is_named(tmp_path):
    path = str(tmp_path / 'gone.png')
    with pytest.raises(FileNotFoundError, match='does not exist') as caught:
        ImageTransforms([LOAD])(dict(img_path=path))
    assert path in str(caught.value)


@pytest.mark.parametrize(
    ('content', 'reason'), [(b'', 'empty'), (b'text', 'does not decode')]
)
def test_undecodable_image_is_named(tmp_path, content, reason):
    path = tmp_path / 'bad.png'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f'read: {reason}') as caught:
        ImageTransforms([LOAD])(dict(img_path=str(path)))
    assert str(path) in str(caught.value)


def test_failing_transform_is_named(image):
    def explode(results):
        raise KeyError('scale')

    with pytest.raises(RuntimeError, match='function failed on the image'):
        ImageTransforms([LOAD, explode])(dict(img_path=image[0]))


def test_a_transform_may_give_up(image):
    transform = ImageTransforms([LOAD, lambda results: None])
    assert transform(dict(img_path=image[0])) is None


def test_pad_crop_shifts_by_up_to_the_padding():
    img = np.full((8, 5, 3), 9, np.uint8)
    img[0, 0] = 77
    np.random.seed(0)
    offsets = set()
    for _ in range(300):
        out = PadCrop(2, fill=1)(dict(img=img))['img']
        assert out.shape == img.shape
        assert set(np.unique(out)) <= {1, 9, 77}
        for y, x in np.argwhere(out[..., 0] == 77):
            offsets.add((int(y), int(x)))
    # the marked corner is seen wherever it stays inside
    assert offsets == {(y, x) for y in range(3) for x in range(3)}


def test_pad_crop_without_padding_and_with_bad_padding():
    img = np.random.default_rng(0).integers(0, 255, (8, 5, 3), np.uint8)
    np.testing.assert_array_equal(PadCrop(0)(dict(img=img))['img'], img)
    with pytest.raises(ValueError, match='must not be negative, got -1'):
        PadCrop(-1)


def test_erasing_fills_one_rectangle_with_the_mean():
    img = np.zeros((60, 40, 3), np.uint8)
    np.random.seed(1)
    for _ in range(50):
        out = RandomErasingMean(prob=1)(dict(img=img))['img']
        rows, columns = np.nonzero(out[..., 0])
        top, bottom = rows.min(), rows.max() + 1
        left, right = columns.min(), columns.max() + 1
        box = out[top:bottom, left:right]
        assert (box == np.rint(CLIP_MEAN_BGR)).all()
        assert (out > 0).all(-1).sum() == box.shape[0] * box.shape[1]
        share = box.shape[0] * box.shape[1] / img[..., 0].size
        assert 0.015 < share < 0.42
        assert 0.2 < box.shape[0] / box.shape[1] < 4
    assert not img.any()


def test_clip_mean_is_zero_after_normalisation():
    rgb = np.array([0.48145466, 0.4578275, 0.40821073]) * 255
    np.testing.assert_allclose(CLIP_MEAN_BGR[::-1], rgb, atol=1e-4)


def test_erasing_probability():
    img = np.zeros((30, 20, 3), np.float32)
    np.random.seed(2)
    transform = RandomErasingMean(prob=0.3, fill=(5, 6, 7))
    erased = [transform(dict(img=img))['img'].any() for _ in range(1000)]
    assert 0.25 < np.mean(erased) < 0.35
    assert not RandomErasingMean(prob=0)(dict(img=img))['img'].any()


def test_numpy_seed_decides():
    img = np.random.default_rng(0).integers(0, 255, (30, 20, 3), np.uint8)

    def augment():
        np.random.seed(3)
        return RandomErasingMean(1)(PadCrop(4)(dict(img=img)))['img']

    np.testing.assert_array_equal(augment(), augment())


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(prob=1.5), 'prob must be in'),
        (dict(area=(0.5, 0.1)), 'area must be a range'),
        (dict(aspect=(0, 2)), 'aspect must be a range'),
    ],
)
def test_erasing_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        RandomErasingMean(**kwargs)
