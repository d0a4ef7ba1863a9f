"""score_relevance.py with the model and transforms of the BLIP-2 configs."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmtpr.filtering import load_scores
from mmtpr.testing import tiny_blip2_cfg, write_tiny_cuhk, write_tiny_vocab

pytest.importorskip(
    'transformers', reason='BLIP-2 needs the extra [blip2] (transformers)'
)

PAIRS = 4 * 2 * 2


@pytest.fixture
def place(tmp_path, repo_root):
    """The configs of BLIP-2 on tiny sizes and data, and weights."""
    base = repo_root / 'configs/_base_'
    model = Config.fromfile(base / 'models/blip2_itm.py').model
    torch.manual_seed(0)
    from mmtpr.registry import MODELS

    encoder = MODELS.build(tiny_blip2_cfg())
    encoder.blip2.save_pretrained(tmp_path / 'blip2')
    model.encoder.pretrained = str(tmp_path / 'blip2')
    images = Config.fromfile(base / 'datasets/person_blip2_224.py')
    pipeline = images.test_pipeline
    pipeline[0].transforms[1].scale = (28, 28)
    pipeline[1].vocab = write_tiny_vocab(tmp_path / 'vocab.txt')
    root = str(write_tiny_cuhk(tmp_path / 'data', (4, 2, 2), 2))
    data = dict(type='mmtpr.CUHKPEDES', data_root=root)
    Config(
        dict(
            default_scope='mmtpr',
            model=model,
            train_dataloader=dict(dataset=data),
            test_dataloader=dict(
                dataset=dict(data, split='test', pipeline=pipeline)
            ),
        )
    ).dump(tmp_path / 'config.py')
    return tmp_path


def test_scores_without_a_checkpoint_of_ours(place, repo_root):
    config, out = str(place / 'config.py'), place / 'scores.npz'
    tool = repo_root / 'tools/filtering/score_relevance.py'
    command = [sys.executable, str(tool), config, '--bank', config]
    command += ['--bank-size', '6', '--out', str(out), '--num-workers', '0']
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=dict(os.environ, OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES=''),
    )
    assert done.returncode == 0, done.stderr
    scores = load_scores(out)
    assert len(scores) == PAIRS
    assert np.isfinite(scores.score).all()
    assert (np.abs(scores.score) <= 1 + 1e-5).all()
    assert scores.rank.min() >= 1
    assert scores.rank.max() <= 7
    assert len(set(scores.score.tolist())) > PAIRS // 2
