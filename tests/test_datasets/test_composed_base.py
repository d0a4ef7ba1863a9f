"""What SynCPR and ITCPR share: choices, paths and the report."""

import json

import mmcv
import numpy as np
import pytest

from mmtpr.datasets import ITCPR, SynCPR

CHOICES = {
    SynCPR: ('broken_images', 'empty_captions', 'missing_images'),
    ITCPR: (
        'broken_images',
        'empty_captions',
        'missing_images',
        'missing_targets',
    ),
}


@pytest.mark.parametrize(
    ('kind', 'name'),
    [(k, name) for k, names in CHOICES.items() for name in names],
)
def test_choices_are_checked_before_anything_is_read(kind, name):
    with pytest.raises(ValueError, match=f"{name}='drop' of {kind.__name__}"):
        kind(**{name: 'drop'})


@pytest.mark.parametrize('kind', CHOICES)
def test_the_report_names_every_choice(kind):
    data = kind(lazy_init=True, data_prefix=dict(img_path='imgs'))
    assert data.load_report == {name: [] for name in CHOICES[kind]}
    assert data.image_path('a/b.jpg') == 'imgs/a/b.jpg'


def test_the_report_grows_and_is_logged(monkeypatch):
    lines = []
    monkeypatch.setattr(
        'mmtpr.datasets.composed_base.print_log',
        lambda message, **_: lines.append(message),
    )
    data = ITCPR(lazy_init=True)
    data.report('broken_images', ['a.jpg', 'b.jpg'], 'broken images')
    data.report('broken_images', ['c.jpg'], 'broken images')
    data.report('broken_images', [], 'broken images')
    assert data.load_report['broken_images'] == ['a.jpg', 'b.jpg', 'c.jpg']
    assert lines == [
        'ITCPR: left out 2 broken images, first a.jpg',
        'ITCPR: left out 1 broken images, first c.jpg',
    ]


def itcpr_root(folder, images='abc'):
    """Queries a and b, gallery c and d, and some of their images."""
    for name, paths, extra in (
        ('query', 'ab', dict(caption='now in blue')),
        ('gallery', 'cd', {}),
    ):
        records = [
            dict(file_path=f'{path}.jpg', instance_id=i, **extra)
            for i, path in enumerate(paths)
        ]
        (folder / f'{name}.json').write_text(json.dumps(records))
    for name in images:
        mmcv.imwrite(np.zeros((8, 4, 3), np.uint8), f'{folder}/{name}.jpg')
    return str(folder)


def test_missing_images_are_looked_for_without_opening(tmp_path, monkeypatch):
    def opened(*args):
        raise AssertionError('an image was opened')

    monkeypatch.setattr(
        'mmtpr.datasets.annotations.images.inspect_image', opened
    )
    root = itcpr_root(tmp_path, images='acd')
    assert len(ITCPR(data_root=root)) == 4  # nobody looks
    with pytest.raises(FileNotFoundError) as error:
        ITCPR(data_root=root, missing_images='error')
    message = str(error.value)
    assert f'1 images of ITCPR do not exist, first "{root}/b.jpg"' in message
    assert 'missing_images="skip"' in message
    data = ITCPR(data_root=root, missing_images='skip')
    assert data.load_report['missing_images'] == [f'{root}/b.jpg']
    assert data.metainfo['num_queries'] == 1
    assert data.metainfo['num_gallery'] == 2
    (tmp_path / 'b.jpg').write_text('no image, but it is there')
    assert len(ITCPR(data_root=root, missing_images='error')) == 4


def test_a_gallery_image_that_is_missing_takes_its_query_away(tmp_path):
    root = itcpr_root(tmp_path)
    with pytest.raises(ValueError, match=r'1 queries .* first 1 \("b.jpg"\)'):
        ITCPR(data_root=root, missing_images='skip')
    data = ITCPR(data_root=root, missing_images='skip', missing_targets='skip')
    assert [s['img_path'][-5:] for s in data] == ['a.jpg', 'c.jpg']


@pytest.mark.parametrize('name', ['query', 'gallery'])
def test_files_of_itcpr_are_named_as_its_arguments_are(tmp_path, name):
    root = itcpr_root(tmp_path)
    path = tmp_path / f'{name}.json'

    def message(content, kind=ValueError):
        path.unlink()
        if content is not None:
            path.write_text(content)
        with pytest.raises(kind) as error:
            ITCPR(data_root=root)
        path.touch()
        return str(error.value)

    text = message(None, FileNotFoundError)
    assert f'Check data_root and {name}_file (in data_root, or in' in text
    assert 'datasets/ below it) in the config' in text
    for found in (text, message('{}'), message('[]')):
        assert 'composed.md' in found
        assert 'data.md' not in found
        assert 'ann_file' not in found
    assert 'is an empty list: get it or write it again' in message('[]')
    record = dict(file_path='a.jpg', instance_id='1', caption='red')
    text = message(json.dumps([record]))
    assert "must hold int, found str '1'. Write a whole number" in text


def test_files_of_syn_cpr_are_named_as_its_arguments_are(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        SynCPR(data_root=str(tmp_path))
    assert 'Check data_root and ann_file in the config' in str(error.value)
    assert 'composed.md' in str(error.value)
