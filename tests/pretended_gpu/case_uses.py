"""Scoring, search and losses on a pretended GPU: the numbers of the CPU.

Training, re-ranking and the feature cache are in case_configs.py. In a process
of its own: see tests/test_testing/test_pretended_gpu.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from mmtpr.apis import PersonRetrievalInferencer
from mmtpr.filtering.scorer import RetrieverScorer
from mmtpr.filtering.scoring import score_pairs
from mmtpr.filtering.shards import ShardStore
from mmtpr.registry import DATASETS, MODELS
from mmtpr.structures.pairs import read_pairs
from mmtpr.testing import shrink_config, write_tiny_data
from mmtpr.testing.pretended_gpu import NAME, PretendedGPU
from mmtpr.utils.config_parts import build_pipeline, find_pipeline

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """Tiny data, a shrunk config of WoRA and its weights."""
    init_default_scope('mmtpr')
    folder = tmp_path_factory.mktemp('place')
    data = write_tiny_data(folder / 'data', num_ids=(6, 2, 3))
    cfg = shrink_config(CONFIGS / 'wora_cuhk.py', data)
    cfg.dump(folder / 'config.py')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    torch.save(dict(state_dict=model.state_dict()), folder / 'model.pth')
    return folder


def config(place):
    return Config.fromfile(place / 'config.py')


def scored(place, folder, device):
    """Ranks and relevances of the training pairs."""
    cfg = config(place)
    model = MODELS.build(cfg.model)
    state = torch.load(place / 'model.pth', weights_only=True)
    model.load_state_dict(state['state_dict'])
    scorer = RetrieverScorer(
        model.to(device), build_pipeline(find_pipeline(cfg)), 5
    )
    pairs = read_pairs(DATASETS.build(cfg.train_dataloader.dataset))
    bank = list(dict.fromkeys(pairs.captions))
    store = ShardStore(str(folder / device), dict(), len(pairs), 8)
    return score_pairs(scorer, pairs, bank, store)


def test_scores_are_those_of_the_cpu(place, tmp_path):
    ranks, scores = scored(place, tmp_path, 'cpu')
    with PretendedGPU():
        other_ranks, other_scores = scored(place, tmp_path, NAME)
    assert other_ranks.tolist() == ranks.tolist()
    np.testing.assert_allclose(other_scores, scores, atol=1e-6)


def found(place, device):
    inferencer = PersonRetrievalInferencer(
        str(place / 'config.py'),
        str(place / 'model.pth'),
        gallery=str(place / 'data/imgs'),
        device=device,
        batch_size=5,
    )
    result = inferencer(['a red top', 'blue trousers'], num_results=5)
    return [item['paths'] for item in result['predictions']]


def test_searches_find_what_they_find_on_the_cpu(place):
    wanted = found(place, 'cpu')
    with PretendedGPU():
        assert found(place, NAME) == wanted


def losses(place, folder):
    cfg = config(place)
    cfg.work_dir, cfg.load_from, cfg.visualizer = str(folder), None, None
    cfg.experiment_name = folder.name
    runner = Runner.from_cfg(cfg)
    runner.train()
    scalars = runner.message_hub.log_scalars
    return {k: v.data[0] for k, v in scalars.items() if 'train/loss' in k}


def test_losses_of_a_training_are_those_of_the_cpu(place, tmp_path):
    wanted = losses(place, tmp_path / 'cpu')
    with PretendedGPU():
        got = losses(place, tmp_path / 'gpu')
    assert len(wanted) > 2
    for name, values in wanted.items():
        np.testing.assert_allclose(got[name], values, rtol=5e-5, err_msg=name)
