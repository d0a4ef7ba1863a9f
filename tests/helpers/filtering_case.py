"""Data, config, weights and scores that tests of the filtering tools share."""

import importlib.util
import os
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config

from mmtpr.registry import MODELS
from mmtpr.testing import tiny_retriever_cfg, write_tiny_cuhk

IDS = (20, 2, 3)
PAIRS = 20 * 3 * 2


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """A folder with data, a config whose filter has no scores yet, weights."""
    folder = tmp_path_factory.mktemp('filtering')
    root = str(write_tiny_cuhk(folder / 'data', IDS, images_per_id=3))
    load = [
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=(32, 64), keep_ratio=False),
    ]
    test_pipeline = [
        dict(type='mmtpr.ImageTransforms', transforms=load),
        dict(type='mmtpr.TokenizeCaption', context_length=32),
        dict(type='mmtpr.PackRetrievalInputs'),
    ]
    noisy = [*load, dict(type='RandomFlip', prob=0.5)]
    train = dict(type='mmtpr.CUHKPEDES', data_root=root, pipeline=noisy)
    test = dict(
        type='mmtpr.CUHKPEDES',
        data_root=root,
        split='test',
        pipeline=test_pipeline,
    )
    Config(
        dict(
            default_scope='mmtpr',
            model=tiny_retriever_cfg(num_classes=20),
            train_dataloader=dict(
                dataset=dict(
                    type='mmtpr.RelevanceFilteredDataset',
                    dataset=train,
                    scores=str(folder / 'scores.npz'),
                    max_rank=10,
                )
            ),
            test_dataloader=dict(dataset=test),
        )
    ).dump(folder / 'config.py')
    torch.manual_seed(1)
    model = MODELS.build(tiny_retriever_cfg(num_classes=20))
    torch.save(dict(state_dict=model.state_dict()), folder / 'model.pth')
    return folder


def arguments(place, out, *more):
    return [
        str(place / 'config.py'),
        str(place / 'model.pth'),
        '--bank',
        str(place / 'config.py'),
        '--bank-size',
        '30',
        '--out',
        str(out),
        '--num-workers',
        '0',
        *more,
    ]


@pytest.fixture
def tool(repo_root, monkeypatch):
    """Call a tool in this process."""

    def call(name, args):
        path = repo_root / 'tools/filtering' / f'{name}.py'
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, 'argv', [str(path), *map(str, args)])
        module.main()

    return call


@pytest.fixture(scope='module')
def whole(place, repo_root):
    """Scores of a run that nothing disturbed, in a process of its own."""
    subprocess.run(
        command(
            repo_root,
            arguments(place, place / 'scores.npz', '--shard-size', '1'),
        ),
        check=True,
        env=environment(),
    )
    return place / 'scores.npz'


def command(repo_root, args):
    tool = repo_root / 'tools/filtering/score_relevance.py'
    return [sys.executable, str(tool), *args]


def environment():
    # The number of threads may change the last bit of an embedding.
    return dict(os.environ, OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='')
