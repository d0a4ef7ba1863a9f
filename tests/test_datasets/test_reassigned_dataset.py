"""Captions shown with the images they were moved to."""

import numpy as np
import pytest
from mmengine.dataset import BaseDataset, ConcatDataset, RepeatDataset

from mmtpr.datasets import (
    CUHKPEDES,
    ReassignedDataset,
    SelectedPairsDataset,
)
from mmtpr.filtering.reassigning import Reassignment, save_reassignment
from mmtpr.structures.pairs import dataset_name, read_pairs
from mmtpr.testing import write_tiny_cuhk


class Numbered(BaseDataset):
    def __init__(self, number=6, **kwargs):
        self.number = number
        super().__init__(**kwargs)

    def load_data_list(self):
        return [
            dict(img_path=f'/d/{i}.png', caption=f'a {i}', pid=i)
            for i in range(self.number)
        ]

    def get_cat_ids(self, idx):
        return [self.get_data_info(idx)['pid']]


def made_for(dataset, image):
    pairs = read_pairs(dataset)
    data = dict(
        fingerprint=pairs.fingerprint,
        name=dataset_name(dataset),
        length=len(pairs),
    )
    return Reassignment(np.array(image), dict(version=1, data=data))


def seen(dataset):
    entries = [dataset[i] for i in range(len(dataset))]
    return [(e['caption'], e['img_path'], e['pid']) for e in entries]


MOVES = [0, 4, -1, 3, 1, -1]
WANTED = [
    ('a 0', '/d/0.png', 0),
    ('a 1', '/d/4.png', 4),
    ('a 3', '/d/3.png', 3),
    ('a 4', '/d/1.png', 1),
]


@pytest.mark.smoke
@pytest.mark.parametrize('lazy', [False, True])
def test_captions_stand_with_their_new_images(tmp_path, lazy):
    dataset = Numbered(lazy_init=lazy)
    save_reassignment(tmp_path / 'a.npz', made_for(Numbered(), MOVES))
    moved = ReassignedDataset(dataset, tmp_path / 'a.npz', lazy_init=lazy)
    assert seen(moved) == WANTED
    assert moved.get_data_info(1)['caption'] == 'a 1'
    assert [moved.get_cat_ids(i) for i in range(4)] == [[0], [4], [3], [1]]
    # What is wrapped is as it was.
    assert dataset[1]['img_path'] == '/d/1.png'
    with pytest.raises(IndexError):
        moved[4]


def test_the_new_entry_goes_through_the_transforms():
    mark = [lambda info: {**info, 'caption': info['caption'] + '!'}]
    moved = ReassignedDataset(
        Numbered(pipeline=mark), made_for(Numbered(), MOVES)
    )
    assert moved[1]['caption'] == 'a 1!'
    assert moved[1]['img_path'] == '/d/4.png'


def test_marks_around_moved_captions(tmp_path):
    root = write_tiny_cuhk(tmp_path)
    steps = [
        dict(type='LoadImageFromFile'),
        dict(type='mmtpr.PackRetrievalInputs'),
    ]
    dataset = CUHKPEDES(data_root=str(root), pipeline=steps)
    image = np.arange(len(dataset))
    image[0] = len(dataset) - 1
    moved = ReassignedDataset(dataset, made_for(dataset, image))
    marked = SelectedPairsDataset(
        moved, dict(type='mmtpr.ConsensusDivision'), plain_pipeline=steps
    )
    for index in (0, 1):
        assert marked[index]['data_samples'].pair_index == index
    assert marked[0]['data_samples'].sample_idx == 0


def test_a_new_image_that_cannot_be_read_is_named():
    pipeline = [lambda info: None if info['pid'] == 4 else info]
    moved = ReassignedDataset(
        Numbered(pipeline=pipeline), made_for(Numbered(), MOVES)
    )
    with pytest.raises(ValueError, match=r'nothing for "/d/4.png", with .* 1'):
        moved[1]


def test_across_the_parts_of_a_concatenation():
    both = ConcatDataset([Numbered(4), Numbered(2)])
    moved = ReassignedDataset(both, made_for(both, [5, 1, 2, 3, -1, 0]))
    assert seen(moved)[0] == ('a 0', '/d/1.png', 1)
    assert seen(moved)[-1] == ('a 1', '/d/0.png', 0)


def test_inside_and_around_a_repetition():
    repeated = RepeatDataset(Numbered(3), times=2)
    moved = ReassignedDataset(repeated, made_for(repeated, [0, 5, 1, 3, 4, 0]))
    assert seen(moved)[1] == ('a 1', '/d/2.png', 2)
    assert seen(moved)[5] == ('a 2', '/d/0.png', 0)


def test_a_dataset_without_pipeline_is_named():
    inner = ReassignedDataset(Numbered(), made_for(Numbered(), range(6)))
    moved = ReassignedDataset(inner, made_for(inner, MOVES))
    assert moved[0]['caption'] == 'a 0'
    with pytest.raises(TypeError, match=r'Numbered\) has no pipeline, so'):
        moved[1]


def test_persons_of_a_real_dataset(tmp_path):
    dataset = CUHKPEDES(data_root=str(write_tiny_cuhk(tmp_path)))
    image = np.arange(len(dataset))
    image[0] = len(dataset) - 1
    moved = ReassignedDataset(dataset, made_for(dataset, image))
    entry = moved.get_data_info(0)
    last = dataset.get_data_info(len(dataset) - 1)
    assert entry['pid'] == last['pid'] != dataset.get_data_info(0)['pid']
    assert entry['caption'] == dataset.get_data_info(0)['caption']
    assert moved.metainfo == dataset.metainfo


def test_counts_are_logged(monkeypatch):
    lines = []
    monkeypatch.setattr(
        'mmtpr.datasets.reassigned_dataset.print_log',
        lambda text, **_: lines.append(text),
    )
    ReassignedDataset(Numbered(), made_for(Numbered(), MOVES))
    assert lines == [
        'Reassigned captions: of 6 pairs 2 stay, 2 captions go with another '
        'image, 2 are dropped.'
    ]


def test_what_is_refused(tmp_path):
    made = made_for(Numbered(), MOVES)
    with pytest.raises(ValueError, match=r'from Numbered with 6 pairs .*, b'):
        ReassignedDataset(Numbered(5), made)
    made.meta['data']['fingerprint'] = 'f' * 32
    with pytest.raises(ValueError, match=r'f{12}\), but .* 6 pairs, fing'):
        ReassignedDataset(Numbered(), made)
    with pytest.raises(TypeError, match='got reassignment=None'):
        ReassignedDataset(Numbered(), None)
    with pytest.raises(ValueError, match='keeps none of the 6 captions'):
        ReassignedDataset(Numbered(), made_for(Numbered(), [-1] * 6))
    with pytest.raises(FileNotFoundError, match='does not exist'):
        ReassignedDataset(Numbered(), tmp_path / 'absent.npz')
    with pytest.raises(TypeError, match='_delete_=True'):
        ReassignedDataset(Numbered(), made, ann_file='x')
