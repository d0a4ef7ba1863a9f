"""Runs that filters of several scorers are compared by."""

import argparse
import time
from pathlib import Path

import numpy as np
from mmengine.config import Config
from study_runs import (
    TOY,
    by_steps,
    digest,
    encoder_of,
    last_weights,
    run,
    score_relevance,
    test_best,
    train,
)

from mmtpr.filtering.reassigning import load_reassignment
from mmtpr.synthesis.layouts import PAIR_KINDS, caption_owners, pair_kinds
from mmtpr.utils import read_json
from mmtpr.utils.errors import LaunchError

DATA = Path('data/toy')
TRUTH = DATA / 'pretrain' / 'truth.json'
#: Scorers that the training leaves at shares of it, by name.
SHARES = {f'share_{share:03d}': share / 100 for share in (20, 40, 60, 80)}


def digest_of_data() -> str:
    """Tell apart data that scores and trainings are of.

    Returns:
        str: Of the settings they were drawn by and of what is wrong in them.

    Raises:
        LaunchError: If there are none.
    """
    if not TRUTH.exists():
        raise LaunchError(
            f'There are no toy data in "{DATA}". Write them with make demo, '
            'or with the command above.'
        )
    return f'{digest(DATA / "settings.json")} {digest(TRUTH)}'


def scorers(args: argparse.Namespace, seed: int) -> dict[str, str]:
    """Train the scorers of a seed.

    Args:
        args (Namespace): Arguments of the command line.
        seed (int): Seed of the runs.

    Returns:
        dict[str, str]: Weights by name: the noisy scorer at shares of its
        training and at the end, and the one of the clean set.
    """
    root = args.work_dir / f'seed{seed}'
    cfg = Config.fromfile(TOY / 'pretrain_toy.py')
    cfg.custom_hooks = [
        *cfg.get('custom_hooks', []),
        dict(
            type='mmtpr.ShareCheckpointHook',
            shares=list(SHARES.values()),
        ),
    ]
    train(by_steps(cfg, args.pretrain_steps, seed, 1), root / 'noisy')
    noisy = last_weights(root / 'noisy')
    cfg = Config.fromfile(TOY / 'scorer_toy.py')
    train(by_steps(cfg, args.scorer_steps, seed, 1), root / 'clean')
    early = {name: str(root / 'noisy' / f'{name}.pth') for name in SHARES}
    return {**early, 'noisy': noisy, 'clean': last_weights(root / 'clean')}


def config_of(name: str) -> Path:
    """Find the config by which a scorer reads the noisy set.

    Args:
        name (str): Name of the scorer.

    Returns:
        Path: The config.
    """
    own = 'scorer_noisy_toy.py' if name == 'clean' else 'pretrain_toy.py'
    return TOY / own


def score(
    args: argparse.Namespace, seed: int, name: str, weights: str
) -> Path:
    """Score the noisy set unless it is done, and note the time it took.

    Args:
        args (Namespace): Arguments of the command line.
        seed (int): Seed of the scorer.
        name (str): Name of the scorer.
        weights (str): Its checkpoint.

    Returns:
        Path: The score file.
    """
    root = args.work_dir / f'seed{seed}'
    out = root / f'{name}.npz'
    if not out.exists():
        start = time.perf_counter()
        bank, log = 'configs/wora_toy.py', root / f'score_{name}.log'
        score_relevance(
            config_of(name), weights, bank, args.bank_size, out, log
        )
        seconds = time.perf_counter() - start
        (root / f'{name}.seconds').write_text(f'{seconds:.1f}')
    return out


def moved_right(
    args: argparse.Namespace, seed: int, name: str, scores: Path
) -> str:
    """Move what a filter drops, and count what came to its own person.

    Args:
        args (Namespace): Arguments of the command line.
        seed (int): Seed of the scorer.
        name (str): Name of the scores, for the file.
        scores (Path): Scores that decide which pairs stay.

    Returns:
        str: A line for people.
    """
    root = args.work_dir / f'seed{seed}'
    out = root / f'reassigned_{name}.npz'
    if not out.exists():
        run(
            *('tools/filtering/reassign_captions.py', config_of('clean')),
            *(last_weights(root / 'clean'), '--scores', scores, '--out', out),
            *('--keep-ratio', args.keep_ratio, '--num-workers', 0),
            *('--batch-size', 256),
            log=root / 'reassign.log',
        )
    made = load_reassignment(out)
    settings = read_json(DATA / 'settings.json')
    rng = np.random.default_rng([settings['seed'], 2])
    people = settings['pretrain']
    kinds = pair_kinds(len(made), settings['wrong'], rng)
    owners = np.array(caption_owners(kinds, people, rng))
    own = np.arange(len(made))
    moved = np.flatnonzero((made.image >= 0) & (made.image != own))
    # Pair i shows person i modulo their number.
    right = made.image[moved] % people == owners[moved]
    of = np.array(kinds)[moved] == PAIR_KINDS.index('another')
    counts = made.counts
    return (
        f'Seed {seed}, by {name}: {counts["kept"]} pairs stay, '
        f'{counts["moved"]} captions move, {counts["dropped"]} are dropped. '
        f'Of those moved {share(right)} came to the person they are about; of '
        f'those that had been with another {share(right[of])}.'
    )


def share(right: np.ndarray) -> str:
    """Say how many are right of how many.

    Args:
        right (np.ndarray): Whether each is, (N, ), bool.

    Returns:
        str: For people; without a share where there are none.
    """
    number = f'{int(right.sum())} of {len(right)}'
    return f'{number} ({right.mean():.1%})' if len(right) else number


def trained(
    args: argparse.Namespace, seed: int, name: str, scores: Path
) -> dict[str, float]:
    """Pre-train on what a filter keeps, tune with WoRA, test.

    Args:
        args (Namespace): Arguments of the command line.
        seed (int): Seed of the runs.
        name (str): Name of the filter, for the folder.
        scores (Path): Its scores.

    Returns:
        dict[str, float]: R@1 and mAP.
    """
    root = args.work_dir / f'seed{seed}'
    cfg = Config.fromfile(TOY / 'pretrain_toy_filtered.py')
    cfg.train_dataloader.dataset.scores = str(scores)
    cfg.train_dataloader.dataset.keep_ratio = args.keep_ratio
    cfg.optim_wrapper = Config.fromfile(TOY / 'pretrain_toy.py').optim_wrapper
    encoder_of(cfg).pretrained = None
    folder = root / f'pretrain_{name}'
    train(by_steps(cfg, args.pretrain_steps, seed, 1), folder)
    cfg = Config.fromfile(TOY / 'wora_toy.py')
    encoder_of(cfg).pretrained = last_weights(folder)
    folder = root / f'{name}_wora'
    test_best(train(by_steps(cfg, args.steps, seed, 5), folder), folder)
    values = read_json(folder / 'test.json')
    return {key.split('/')[-1]: value for key, value in values.items()}
