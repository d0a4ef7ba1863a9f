"""Cells of the toy study: pre-trainings that choose their pairs."""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from study_runs import (
    ROOT,
    TOY,
    best_weights,
    by_steps,
    last_weights,
    run,
    score_relevance,
    train,
)

from mmtpr.filtering import keep_mask, load_scores
from mmtpr.filtering.consensus import DOUBTFUL, RIGHT
from mmtpr.filtering.report import load_truth
from mmtpr.utils import atomic_write
from mmtpr.utils.errors import LaunchError

#: Cell -> how the table calls it; in the order in which they are made.
CELLS = {
    'none': 'all pairs',
    'relevance': 'relevance filter',
    'joined': 'joined scores',
    'ccd': 'CCD',
    'relevance_ccd': 'relevance filter + CCD',
}
#: Cell -> others whose pre-training it needs.
NEEDS = dict(
    none=(),
    relevance=('none',),
    joined=('none',),
    ccd=(),
    relevance_ccd=('none',),
)
JOIN = ROOT / 'tools/filtering/join_scores.py'


@dataclass
class Place:
    """Where the runs of a rate and a seed are.

    Attributes:
        folder (Path): Their work dirs.
        data (Path): The toy data.
        rate (int): Wrong captions in percent.
        seed (int): Seed of the runs.
    """

    folder: Path
    data: Path
    rate: int
    seed: int

    @property
    def keep_ratio(self) -> float:
        """Share that filters keep: 0.79 at 30 %, as the paper of MALS."""
        return 1 - 0.7 * self.rate / 100

    def on_data(self, cfg: Config) -> Config:
        """Let a toy config read these data.

        Args:
            cfg (Config): The config.

        Returns:
            Config: Another one.
        """
        moved = _moved(cfg.to_dict(), cfg.toy_root, str(self.data))
        return Config(moved)


def _moved(node: Any, old: str, new: str) -> Any:
    if isinstance(node, dict):
        return {key: _moved(value, old, new) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return type(node)(_moved(value, old, new) for value in node)
    if isinstance(node, str) and (node == old or node.startswith(f'{old}/')):
        return new + node[len(old) :]
    return node


def require_joins(args: argparse.Namespace) -> None:
    """Stop where the tool that joins scores is asked for and not there.

    Args:
        args (Namespace): Arguments of the command line.

    Raises:
        LaunchError: If so.
    """
    if 'joined' in args.cells and not JOIN.exists():
        others = ' '.join(cell for cell in args.cells if cell != 'joined')
        raise LaunchError(
            f'The cell "joined" needs {JOIN.relative_to(ROOT)}, which is not '
            f'in this version. Leave it out: --cells {others}'
        )


def pretrain(args: argparse.Namespace, place: Place, cell: str) -> None:
    """Pre-train on the pairs of a cell, and count the wrong ones among them.

    Args:
        args (Namespace): Arguments of the command line.
        place (Place): Where, and on which data.
        cell (str): Key of ``CELLS``.
    """
    folder = place.folder / f'pretrain_{cell}'
    if (folder / 'pairs.json').exists():
        return
    cfg = place.on_data(Config.fromfile(TOY / 'pretrain_toy.py'))
    loader, scores = cfg.train_dataloader, None
    if cell in ('relevance', 'relevance_ccd', 'joined'):
        scores = _relevance(args, place)
        if cell == 'joined':
            scores = _joined(args, place, scores)
        loader.dataset = dict(
            type='mmtpr.RelevanceFilteredDataset',
            dataset=loader.dataset,
            scores=str(scores),
            keep_ratio=place.keep_ratio,
        )
    if cell.endswith('ccd'):
        _divide(cfg, args.pretrain_steps, place.rate)
    train(by_steps(cfg, args.pretrain_steps, place.seed, 1), folder)
    with atomic_write(folder / 'pairs.json', 'w') as file:
        json.dump(_count(place, folder, scores), file)


def _divide(cfg: Config, steps: int, rate: int) -> None:
    """Ask the model after a third of the steps, and after another one."""
    third = max(1, steps // 3)
    # As the release of RDE above 40 %.
    fine = dict(max_iter=100, tol=1e-4, reg_covar=1e-6) if rate > 40 else {}
    cfg.train_dataloader.dataset = dict(
        type='mmtpr.SelectedPairsDataset',
        dataset=cfg.train_dataloader.dataset,
        selector=dict(type='mmtpr.ConsensusDivision', **fine),
        plain_pipeline=cfg.test_pipeline,
    )
    hook = dict(type='mmtpr.PairSelectionHook', batch_size=256)
    cfg.custom_hooks = [dict(hook, start=third, interval=third)]


def _relevance(args: argparse.Namespace, place: Place) -> Path:
    """Score by the encoder that was pre-trained on all pairs."""
    weights = last_weights(place.folder / 'pretrain_none')
    return _score(args, place, 'relevance', weights)


def _joined(args: argparse.Namespace, place: Place, first: Path) -> Path:
    """Join these scores with those of the same encoder, tuned in full."""
    weights = best_weights(place.folder / 'none_full')
    second = _score(args, place, 'tuned', weights)
    out = place.folder / 'joined.npz'
    if not out.exists():
        run(
            *(JOIN.relative_to(ROOT), first, second),
            *('--method', 'mean', '--out', out),
            log=place.folder / 'join.log',
        )
    return out


def _score(
    args: argparse.Namespace, place: Place, name: str, weights: str | Path
) -> Path:
    out = place.folder / f'{name}.npz'
    bank = place.folder / 'bank.py'
    if not bank.exists():
        place.on_data(Config.fromfile(TOY / 'wora_toy.py')).dump(bank)
    config = place.folder / 'pretrain_none/study.py'
    log = place.folder / f'{name}.log'
    score_relevance(config, weights, bank, args.bank_size, out, log)
    return out


def _count(
    place: Place, folder: Path, scores: Path | None
) -> dict[str, float]:
    """Count what trained in the end: pairs, and the wrong ones among them."""
    truth = json.loads((place.data / 'pretrain/truth.json').read_text())
    number = len(truth['kinds'] if isinstance(truth, dict) else truth)
    kinds, _ = load_truth(place.data / 'pretrain/truth.json', number)
    share = np.ones(number)  # (N,), how often a pair trains
    if scores is not None:
        loaded = load_scores(scores)
        keep = keep_mask(
            loaded.rank, loaded.score, keep_ratio=place.keep_ratio
        )
        share[~keep] = 0
    state = torch.load(last_weights(folder), weights_only=True)
    if 'pair_selection' in state:
        classes = state['pair_selection']['classes'].numpy()
        weight = (classes == RIGHT) + 0.5 * (classes == DOUBTFUL)
        share[share > 0] = weight
    return dict(pairs=float(share.sum()), wrong=float(share[kinds > 0].sum()))
