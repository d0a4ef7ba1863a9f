"""Batches: one tensor a field, made where the samples are loaded."""

import subprocess
import sys

import pytest
import torch
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from mmtpr.models import RetrievalDataPreprocessor
from mmtpr.models.data_preprocessor import collate_for
from mmtpr.registry import FUNCTIONS
from mmtpr.structures import RetrievalDataSample, collate_samples
from mmtpr.structures.collate import build_collate

IMAGE = torch.arange(24, dtype=torch.uint8).view(3, 4, 2)


def packed(image=None, reference=None, tokens=None, **meta):
    sample = RetrievalDataSample(metainfo=meta)
    if tokens is not None:
        sample.tokens = torch.tensor(tokens)
    inputs = dict(image=image, reference=reference)
    return dict(inputs=inputs, data_samples=sample)


def mixed():
    return [
        packed(role='query', caption='a man', tokens=[1, 2], pid=7),
        packed(IMAGE, role='gallery', img_path='a.png', pid=8),
        packed(IMAGE + 1, IMAGE, [3, 4], role='gallery', pid=9),
    ]


def test_a_dataset_may_keep_its_samples():
    """Loaded without workers, they are asked for again in each epoch."""
    kept = mixed()
    kept.append(kept[0])  # and drawn twice in a batch
    one, two = collate_samples(kept), collate_samples(kept)
    assert torch.equal(one['inputs']['tokens'], two['inputs']['tokens'])
    assert (
        one['rows']
        == two['rows']
        == dict(image=[1, 2], reference=[2], tokens=[0, 2, 3])
    )
    one['data_samples'][0].set_metainfo(dict(score=1))
    assert 'score' not in kept[0]['data_samples']
    assert kept[0]['data_samples'].tokens.tolist() == [1, 2]


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    return one == other


def test_each_field_is_one_tensor_and_knows_its_rows():
    batch = collate_samples(mixed())
    assert {k: tuple(v.shape) for k, v in batch['inputs'].items()} == {
        'image': (2, 3, 4, 2),
        'reference': (1, 3, 4, 2),
        'tokens': (2, 2),
        'pid': (3,),
    }
    rows = dict(image=[1, 2], reference=[2], tokens=[0, 2])
    assert batch['rows'] == rows
    assert not any('tokens' in sample for sample in batch['data_samples'])


@pytest.mark.parametrize('training', [False, True])
def test_both_ways_of_collating_give_the_same_inputs(training):
    preprocessor = RetrievalDataPreprocessor()
    stacked = preprocessor(collate_samples(mixed()), training)['inputs']
    single = preprocessor(pseudo_collate(mixed()), training)['inputs']
    assert stacked.keys() == single.keys()
    assert all(same(stacked[name], single[name]) for name in single)
    assert ('pid' in stacked) == training
    if training:
        assert stacked['pid'].tolist() == [7, 8, 9]
        assert stacked['pid_range'] == (7, 9)


def test_facts_are_stacked_where_all_samples_have_them():
    samples = [
        packed(IMAGE, pid=1, image_id=2, attributes=[0, 1]),
        packed(IMAGE, pid=3, image_id=4, attributes=[-1, 0]),
    ]
    inputs = collate_samples(samples)['inputs']
    assert inputs['image_id'].tolist() == [2, 4]
    assert inputs['attributes'].tolist() == [[0, 1], [-1, 0]]
    samples = [
        packed(IMAGE, pid=1, attributes=[0, 1]),
        packed(IMAGE, attributes=[0]),
    ]
    assert sorted(collate_samples(samples)['inputs']) == ['image']


def test_attributes_are_checked_before_they_leave_the_cpu():
    samples = [packed(IMAGE, pid=1, attributes=[0, 2])]
    with pytest.raises(ValueError, match='from 0 to 2'):
        RetrievalDataPreprocessor()(collate_samples(samples), True)


def test_tensors_lie_in_shared_memory_after_a_worker():
    loader = DataLoader(mixed(), 3, num_workers=1, collate_fn=collate_samples)
    (batch,) = loader
    assert all(value.is_shared() for value in batch['inputs'].values())


def test_images_of_different_size_are_named_in_a_worker():
    samples = [packed(IMAGE, img_path='a'), packed(IMAGE[:, :2], img_path='b')]
    loader = DataLoader(samples, 2, num_workers=1, collate_fn=collate_samples)
    with pytest.raises(ValueError, match=r'\(3, 2, 2\) of "b"'):
        next(iter(loader))


@pytest.mark.parametrize(
    ('sample', 'found'),
    [
        (dict(img=IMAGE), r"has \['img'\]"),
        (IMAGE, 'is a Tensor'),
        (dict(inputs=IMAGE, data_samples=None), 'has inputs of type Tensor'),
        (dict(inputs=[], data_samples=[]), 'has inputs of type list'),
    ],
)
def test_what_is_not_packed_is_refused(sample, found):
    with pytest.raises(ValueError, match=f'end with it; a sample {found}'):
        collate_samples([sample])


def test_configs_find_it_by_name_and_others_keep_their_lists():
    assert FUNCTIONS.get('mmtpr.collate_samples') is collate_samples
    assert collate_for(RetrievalDataPreprocessor()) is collate_samples
    assert collate_for(torch.nn.Identity()) is pseudo_collate


@pytest.mark.parametrize(
    'named',
    [
        'mmtpr.collate_samples',
        dict(type='mmtpr.collate_samples'),
        dict(type=collate_samples),
        collate_samples,
    ],
)
def test_configs_name_it_as_the_runner_allows(named):
    assert build_collate(named) is collate_samples


def test_options_of_a_function_a_config_names():
    assert build_collate(dict(type=sorted, reverse=True))([1, 2]) == [2, 1]


@pytest.mark.parametrize('named', ['mmtpr.none', dict(reverse=True), 3])
def test_configs_that_name_no_function(named):
    with pytest.raises(ValueError, match='names none that is registered'):
        build_collate(named)


def open_files(repo_root, name, limit):
    script = repo_root / 'tests/helpers/waiting_batches.py'
    done = subprocess.run(
        [sys.executable, str(script), name, str(limit)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=repo_root,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(
    torch.multiprocessing.get_sharing_strategy() != 'file_descriptor',
    reason='tensors of workers are no open files here',
)
def test_few_files_are_open_while_batches_wait(repo_root):
    """1,024 is what a shell allows; four waiting batches are a few dozen."""
    assert open_files(repo_root, 'stacked', 1024) < 200
    # So the batches are ones whose single tensors would not do.
    assert open_files(repo_root, 'single', 2048) > 1024
