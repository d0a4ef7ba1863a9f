"""Datasets of persons that are joined."""

import pytest
from mmengine.registry import DefaultScope

from mmtpr.datasets import ConcatDataset
from mmtpr.registry import DATASETS
from mmtpr.testing import write_tiny_data


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return str(write_tiny_data(tmp_path_factory.mktemp('data')))


def parts(root, **second):
    return [
        dict(type='mmtpr.CUHKPEDES', data_root=root),
        dict(type='mmtpr.RSTPReid', data_root=root, **second),
    ]


def test_strangers_do_not_become_one_person(root):
    match = (
        r'dataset 1 \(RSTPReid\) and dataset 0 \(CUHK-PEDES\) .* 6 identities '
        r'in common, such as 0: .* pid_offset=6 or more'
    )
    with pytest.raises(ValueError, match=match):
        ConcatDataset(parts(root))


def test_an_offset_keeps_them_apart(root):
    joined = ConcatDataset(parts(root, pid_offset=6))
    pids = {joined.get_data_info(i)['pid'] for i in range(len(joined))}
    assert pids == set(range(12))


def test_they_may_be_the_same_persons(root):
    joined = ConcatDataset(parts(root), same_persons=True)
    pids = {joined.get_data_info(i)['pid'] for i in range(len(joined))}
    assert pids == set(range(6))


def test_wrapped_sets_and_other_sets(root):
    first, second = parts(root)
    wrapped = dict(type='RepeatDataset', dataset=second, times=2)
    with pytest.raises(ValueError, match='identities in common'):
        ConcatDataset([first, wrapped])
    mals = dict(type='mmtpr.MALS', data_root=root, ann_file='gene_attrs')
    offset = dict(mals, pid_offset=6, data_prefix=dict(img_path=''))
    assert len(ConcatDataset([first, offset]).datasets) == 2


def test_configs_of_mmtpr_use_it_by_its_plain_name(root):
    cfg = dict(type='ConcatDataset', datasets=parts(root, pid_offset=6))
    with DefaultScope.overwrite_default_scope('mmtpr'):
        assert type(DATASETS.build(cfg)) is ConcatDataset
