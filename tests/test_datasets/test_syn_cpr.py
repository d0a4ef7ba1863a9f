"""SynCPR: triplets of reference, target and sentence."""

import json

import mmcv
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmtpr.datasets import SynCPR
from mmtpr.evaluation import rank_metrics


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
    assert [s['role'] for s in val] == ['query'] * 2 + ['gallery'] * 4
    # A group is one outfit: both of its targets are right for both queries.
    assert [s['instance_id'] for s in val] == [0, 0, 0, 0, -1, -1]
    ends = [s['img_path'][-6:] for s in val]
    assert ends == ['_r.jpg'] * 2 + ['_t.jpg'] * 2 + ['_r.jpg'] * 2
    # Of the same image, for exclude_same_image.
    assert [s['image_id'] for s in val] == [2, 3, 0, 1, 2, 3]
    seen = {train[i]['img_path'] for i in range(len(train))}
    assert not seen & {val[2]['img_path'], val[3]['img_path']}
    oracle = torch.tensor([s['instance_id'] for s in val])
    found = rank_metrics(
        (oracle[:2, None] == oracle[None, 2:]).float(), oracle[:2], oracle[2:]
    )
    assert found['R@1'] == found['mAP'] == 100


def test_val_right_answers_of_a_shared_target(write):
    """Groups 0 and 2 share a target, so do 2 and 3: one outfit."""
    records = [triplet(i, i) for i in range(5)]
    records.append(dict(triplet(5, 2), target_image_path='0_t.jpg'))
    records.append(dict(triplet(6, 3), target_image_path='5_t.jpg'))
    records.append(dict(triplet(7, 2), target_image_path='5_t.jpg'))
    # A reference that is a target elsewhere is right there.
    records.append(dict(triplet(8, 4), reference_image_path='1_t.jpg'))
    root = write([*records, *(triplet(i, 99) for i in range(9, 14))])
    for seed in range(20):
        val = SynCPR(data_root=root, split='val', val_ids=5, val_seed=seed)
        if val.metainfo['num_triplets'] == 9:
            break
    samples = [val[i] for i in range(len(val))]
    queries = [s for s in samples if s['role'] == 'query']
    outfit = {s['pid']: s['instance_id'] for s in queries}
    assert outfit[0] == outfit[2] == outfit[3]
    assert len(set(outfit.values())) == 3
    gallery = [s for s in samples if s['role'] == 'gallery']
    names = {s['img_path'].rpartition('/')[2]: s for s in gallery}
    assert len(names) == len(gallery) == 7 + 8
    assert names['0_t.jpg']['instance_id'] == outfit[2]
    assert names['1_t.jpg']['instance_id'] == outfit[1]
    assert names['0_r.jpg']['instance_id'] == -1


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


@pytest.mark.parametrize('split', ['train', 'val'])
@pytest.mark.parametrize('name', ['missing_images', 'broken_images'])
def test_nothing_left_is_an_error(write, split, name):
    root = write(RECORDS)
    told = f'No triplet of the split "{split}" of .*images .{name}.*md'
    with pytest.raises(ValueError, match=told):
        SynCPR(data_root=root, split=split, val_ids=1, **{name: 'skip'})
    root = write([dict(RECORDS[0], edit_caption='')])
    with pytest.raises(ValueError, match=r'No triplet of .*empty_captions'):
        SynCPR(data_root=root, empty_captions='skip')


def test_triplets_without_image_are_dropped_and_counted(write):
    root = write(RECORDS[:3])
    for name in ('0_r', '0_t', '1_r', '2_t'):
        mmcv.imwrite(np.zeros((8, 4, 3), np.uint8), f'{root}/{name}.jpg')
    data = SynCPR(data_root=root, missing_images='skip')
    assert len(data) == 1
    missing = [f'{root}/1_t.jpg', f'{root}/2_r.jpg']
    assert data.load_report['missing_images'] == missing
    with pytest.raises(FileNotFoundError, match=r'2 images .*1_t\.jpg'):
        SynCPR(data_root=root, missing_images='error')


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
