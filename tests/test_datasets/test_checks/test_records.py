"""Findings among records: what each counts, on records with one of each."""

import gzip

import mmcv
import numpy as np
import pytest

from mmtpr.datasets.annotations.images import inspect_images
from mmtpr.datasets.annotations.records import PersonRecord
from mmtpr.datasets.checks.records import (
    cut_captions,
    images_of_several_persons,
    paths_by_case,
    repeated_records,
)


def record(path, pid=0, *captions):
    return PersonRecord(path, captions, pid, 'train', b'', 0)


def test_an_image_of_two_persons():
    records = [record('a.jpg', 3), record('a.jpg', 12), record('b.jpg', 3)]
    assert images_of_several_persons(records) == ['a.jpg: 12, 3']
    assert images_of_several_persons(records[1:]) == []


def test_records_that_say_the_same():
    records = [record('a.jpg', 1, 'x')] * 3 + [record('a.jpg', 1, 'y')]
    assert repeated_records(records) == ['a.jpg: 3 times']


def test_names_that_differ_in_case():
    records = [record('c/A.jpg'), record('c/a.JPG'), record('c/b.jpg')]
    assert paths_by_case([*records, records[0]]) == ['c/A.jpg and c/a.JPG']


@pytest.mark.parametrize('kind', ['clip', 'bpe', 'bert'])
def test_captions_that_the_tokenizer_cuts(kind, tmp_path):
    words = 'a man in red'
    if kind == 'clip':
        node = dict(type='mmtpr.TokenizeCaption', context_length=6)
    elif kind == 'bpe':
        path = tmp_path / 'none.txt.gz'
        path.write_bytes(gzip.compress(b'#version: none'))
        tokenizer = dict(bpe_path=str(path), context_length=11)
        node = dict(type='mmtpr.TokenizeCaption', tokenizer=tokenizer)
    else:
        path = tmp_path / 'vocab.txt'
        special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
        path.write_text('\n'.join([*special, *words.split(), 'coat']))
        node = dict(type='mmtpr.TokenizeBert', vocab=str(path), max_length=6)
    records = [record('a.jpg', 0, words, words + ' coat'), record('b.jpg')]
    assert cut_captions(records, [dict(type='Other'), node]) == [
        f'a.jpg: {words + " coat"!r}'
    ]


def test_progress_counts_all_captions(counted):
    seen = counted('datasets.checks.records')
    records = [record('a.jpg', 0, 'x', 'a coat'), record('b.jpg', 1, 'y')]
    node = dict(type='TokenizeCaption', tokenizer='ViT-B-16')
    assert cut_captions(records, [node]) == []
    assert seen == {'Tokenizing captions': [3, 3]}


def test_without_tokenizer_nothing_is_said():
    assert cut_captions([record('a.jpg', 0, 'x')], None) is None
    hub = dict(type='TokenizeCaption', tokenizer='no such model')
    assert cut_captions([record('a.jpg', 0, 'x')], [hub]) is None


def test_images_that_show_nothing(tmp_path):
    rng = np.random.default_rng(0)
    images = dict(
        black=np.zeros((64, 32, 3)),
        grey=np.full((64, 32, 3), 128) + rng.integers(0, 2, (64, 32, 3)),
        tiny=rng.integers(0, 255, (64, 7, 3)),
        dark=rng.integers(0, 12, (64, 32, 3)),
        good=rng.integers(0, 255, (8, 8, 3)),
    )
    paths = [str(tmp_path / f'{name}.png') for name in images]
    for path, image in zip(paths, images.values(), strict=True):
        mmcv.imwrite(image.astype(np.uint8), path)
    states = inspect_images(paths)
    found = [states[path].shows_nothing for path in paths]
    assert found == [True, True, True, False, False]
    assert not any(state.problem for state in states.values())


@pytest.mark.parametrize('link', ['symlink_to', 'hardlink_to'])
def test_links_to_an_image_of_another_person(tmp_path, link):
    (tmp_path / 'a.jpg').write_bytes(b'one')
    getattr(tmp_path / 'b.jpg', link)(tmp_path / 'a.jpg')
    records = [record('a.jpg', 3), record('b.jpg', 12), record('c.jpg', 4)]
    assert images_of_several_persons(records) == []
    found = images_of_several_persons(records, lambda p: str(tmp_path / p))
    assert found == ['a.jpg: 12, 3']
