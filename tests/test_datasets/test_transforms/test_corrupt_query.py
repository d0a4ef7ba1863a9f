"""Queries with noise, blur, compression and typos."""

import numpy as np
import pytest

from mmtpr.datasets.transforms import CorruptQuery, ImageTransforms
from mmtpr.datasets.transforms.corrupt_query import IMAGE_KINDS, STRENGTHS

CAPTION = (
    'A tall woman in a light blue jacket, dark trousers and white shoes '
    'carries a small red bag over her left shoulder.'
)


def query(number=3, **more):
    rng = np.random.default_rng(number)
    coarse = rng.integers(0, 255, (12, 6, 3), np.uint8)
    image = coarse.repeat(8, 0).repeat(8, 1)
    return dict(
        role='query', img=image, caption=CAPTION, sample_idx=number, **more
    )


def apply(kind, severity, sample=None, seed=0):
    return CorruptQuery(kind, severity, seed)(sample or query())


@pytest.mark.parametrize('kind', IMAGE_KINDS)
def test_images_get_worse_with_severity_and_keep_their_form(kind):
    plain = query()
    gaps = []
    for severity in (1, 2, 3):
        found = apply(kind, severity)
        assert found['img'].shape == plain['img'].shape
        assert found['img'].dtype == np.uint8
        assert found['caption'] == CAPTION
        gap = found['img'].astype(float) - plain['img']
        gaps.append(np.abs(gap).mean())
    assert 0 < gaps[0] < gaps[1] < gaps[2]


def test_more_typos_keep_those_of_fewer():
    words = CAPTION.split(' ')
    changed = []
    for severity in (1, 2, 3):
        found = apply('typos', severity)['caption'].split(' ')
        assert len(found) == len(words)
        places = {i for i, w in enumerate(words) if found[i] != w}
        changed.append({(i, found[i]) for i in places})
    assert 1 <= len(changed[0]) < len(changed[1]) < len(changed[2])
    assert changed[0] < changed[1] < changed[2]
    long = sum(len(word.strip('.,')) >= 3 for word in words)
    assert len(changed[2]) == round(0.4 * long)


@pytest.mark.parametrize('kind', STRENGTHS)
def test_what_is_drawn_depends_on_the_item_and_the_seed_alone(kind):
    np.random.seed(1)
    state = np.random.get_state()[1].copy()
    first = apply(kind, 2)
    other_items = [apply(kind, 2, query(n)) for n in (5, 6)]
    again = apply(kind, 2)
    assert (np.random.get_state()[1] == state).all()
    assert np.array_equal(first['img'], again['img'])
    assert first['caption'] == again['caption']
    if kind in ('noise', 'typos'):
        other = apply(kind, 2, seed=1)
        same = np.array_equal(first['img'], other['img'])
        assert not (same and first['caption'] == other['caption'])
        moved = [x for x in other_items if x['caption'] != first['caption']]
        assert moved or kind == 'noise'


@pytest.mark.parametrize('kind', STRENGTHS)
def test_only_queries_are_corrupted_and_only_what_they_have(kind):
    for role in ('gallery', 'train'):
        sample = dict(query(), role=role)
        assert CorruptQuery(kind)(sample) is sample
    bare = dict(role='query')
    assert CorruptQuery(kind)(bare) is bare


def test_short_and_strange_sentences():
    for text in ('', 'a b', '人 物', 'xx xx', 'aaa'):
        found = apply('typos', 3, dict(role='query', caption=text))
        assert isinstance(found['caption'], str)
        if text != 'aaa':
            assert found['caption'] == text  # no word of three letters
        else:
            assert found['caption'] != text


def test_each_of_several_images_is_corrupted():
    images = [query(n)['img'] for n in (1, 2)]
    found = CorruptQuery('noise')(dict(role='query', img=images))['img']
    assert len(found) == 2
    assert all((a != b).any() for a, b in zip(found, images, strict=True))


def test_behind_the_reader_of_images():
    image = query()['img']

    def read(results):
        return dict(results, img=image)

    both = ImageTransforms([read, CorruptQuery('blur', 3)])
    sample = dict(role='query', img_path='a.jpg')
    assert (both(sample)['img'] != image).any()
    assert both(dict(sample, role='gallery'))['img'] is image


def test_wrong_use_is_explained():
    with pytest.raises(ValueError, match='kind of CorruptQuery must be one'):
        CorruptQuery('snow')
    for wrong in (
        *(dict(severity=4), dict(severity=0), dict(seed=-1)),
        *(dict(severity=2.0), dict(severity='2'), dict(severity=True)),
        *(dict(seed=None), dict(seed='1'), dict(seed=1.0)),
    ):
        with pytest.raises(ValueError, match='must be 1, 2 or 3'):
            CorruptQuery('blur', **wrong)
    sample = query()
    sample['img'] = sample['img'].astype(np.float32)
    with pytest.raises(ValueError, match='uint8, got float32'):
        CorruptQuery('noise')(sample)
