"""SynCPR: triplets of reference, target and sentence."""

import json

import mmcv
import numpy as np
import pytest
from mmengine.config import Config

from mmtpr.datasets import SynCPR


def triplet(number, cpr_id, **extra):
    return dict(
        reference_image_path=f'{number}_r.jpg',
        target_image_path=f'{number}_t.jpg',
        reference_caption='a man in red',
        target_caption='a man in blue',
        edit_caption='now in blue',
        cpr_id=cpr_id,
        **extra,
    )


@pytest.fixture
def write(tmp_path):
    def to_disk(records):
        (tmp_path / 'SynCPR.json').write_text(json.dumps(records))
        return str(tmp_path)

    return to_disk


RECORDS = [triplet(i, 10 * (i // 2)) for i in range(8)]


def test_triplets_with_contiguous_groups(write):
    data = SynCPR(data_root=write(RECORDS))
    assert [data[i]['pid'] for i in range(8)] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert data[3]['reference_path'].endswith('3_r.jpg')
    assert data[3]['img_path'].endswith('3_t.jpg')
    assert data[3]['caption'] == 'now in blue'
    assert data.metainfo['num_triplets'] == 8


def test_val_split_is_cut_by_group(write):
    root = write(RECORDS)
    train = SynCPR(data_root=root, val_ids=1)
    val = SynCPR(data_root=root, val_ids=1, split='val')
    assert train.metainfo['num_pids'] == 3
    assert [s['role'] for s in val] == ['query'] * 2 + ['gallery'] * 2
    assert val[0]['instance_id'] == val[2]['instance_id']
    assert val[0]['img_path'].endswith('_r.jpg')
    seen = {train[i]['img_path'] for i in range(len(train))}
    assert not seen & {val[2]['img_path'], val[3]['img_path']}


def test_split_that_leaves_nothing(write):
    root = write(RECORDS)
    with pytest.raises(ValueError, match='4 group ids'):
        SynCPR(data_root=root, val_ids=4)
    with pytest.raises(ValueError, match='val_ids=0'):
        SynCPR(data_root=root, split='val')


def test_missing_files_are_reported(write, tmp_path):
    root = write(RECORDS[:2])
    for name in ('0_r', '0_t', '1_r'):
        mmcv.imwrite(np.zeros((8, 4, 3), np.uint8), f'{root}/{name}.jpg')
    data = SynCPR(data_root=root, broken_images='skip')
    assert len(data) == 1
    assert data.load_report['broken_images'] == [f'{root}/1_t.jpg']


def test_a_missing_reference_is_named_when_it_is_met(write, repo_root):
    base = Config.fromfile(
        repo_root / 'configs/_base_/datasets/composed_384x128.py'
    )
    root = write(RECORDS[:1])
    mmcv.imwrite(np.zeros((8, 4, 3), np.uint8), f'{root}/0_t.jpg')
    data = SynCPR(data_root=root, pipeline=base.triplet_pipeline)
    with pytest.raises(FileNotFoundError, match=r'0_r\.jpg'):
        data[0]
    mmcv.imwrite(np.zeros((8, 4, 3), np.uint8), f'{root}/0_r.jpg')
    assert data[0]['inputs']['reference'].shape == (3, 384, 128)


def test_missing_sentence(write):
    root = write([*RECORDS, dict(triplet(9, 9), edit_caption=' ')])
    with pytest.raises(ValueError, match=r'Record 8 .*"edit_caption"'):
        SynCPR(data_root=root)
    assert len(SynCPR(data_root=root, empty_captions='skip')) == 8
