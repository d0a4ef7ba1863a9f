"""What SynCPR and ITCPR share: choices, paths and the report."""

import pytest

from mmtpr.datasets import ITCPR, SynCPR

CHOICES = {
    SynCPR: ('broken_images', 'empty_captions'),
    ITCPR: ('broken_images', 'empty_captions', 'missing_targets'),
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
    data.report('broken_images', ['a.jpg', 'b.jpg'], 'broken pictures')
    data.report('broken_images', ['c.jpg'], 'broken pictures')
    data.report('broken_images', [], 'broken pictures')
    assert data.load_report['broken_images'] == ['a.jpg', 'b.jpg', 'c.jpg']
    assert lines == [
        'ITCPR: left out 2 broken pictures, first a.jpg',
        'ITCPR: left out 1 broken pictures, first c.jpg',
    ]
