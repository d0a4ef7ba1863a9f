"""Subclasses of composed sets see the paths that samples have."""

import json
import os

import pytest

from mmtpr.datasets import SynCPR


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'i').mkdir()
    records = []
    for number in range(6):
        names = [f'i/{number}{side}.jpg' for side in 'rt']
        for name in names:
            (tmp_path / name).touch()
        records.append(
            dict(
                reference_image_path=names[0],
                target_image_path=names[1],
                edit_caption=f'change {number}',
                cpr_id=number,
            )
        )
    (tmp_path / 'a.json').write_text(json.dumps(records))
    return str(tmp_path)


def build(kind, folder):
    return kind(data_root=folder, ann_file='a.json', val_ids=0)


def check(dataset, folder):
    assert len(dataset) == 6
    info = dataset.get_data_info(2)
    assert info['img_path'] == f'{folder}/i/2t.jpg'
    assert info['reference_path'] == f'{folder}/i/2r.jpg'


def test_lists_hold_full_paths(folder):
    dataset = build(SynCPR, folder)
    check(dataset, folder)
    assert dataset.load_data_list()[2] == {
        key: value
        for key, value in dataset.get_data_info(2).items()
        if key != 'sample_idx'
    }


def test_filters_see_full_paths(folder):
    class Existing(SynCPR):
        def filter_data(self):
            return [d for d in self.data_list if os.path.exists(d['img_path'])]

    check(build(Existing, folder), folder)


def test_lists_of_ones_own(folder):
    class Moved(SynCPR):
        def load_data_list(self):
            found = super().load_data_list()
            for item in found:
                item['img_path'] = item['img_path'].replace('/i/', '/j/')
            return found

    info = build(Moved, folder).get_data_info(2)
    assert info['img_path'] == f'{folder}/j/2t.jpg'
    assert info['reference_path'] == f'{folder}/i/2r.jpg'


def test_a_split_needs_a_seed(folder):
    with pytest.raises(ValueError, match='val_seed=None would draw other'):
        SynCPR(data_root=folder, ann_file='a.json', val_ids=2, val_seed=None)
