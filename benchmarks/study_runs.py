"""What studies on toy data share: runs of the tools that can go on."""

import hashlib
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from mmtpr.data_engine import StageFolder

ROOT = Path(__file__).resolve().parents[1]
TOY = ROOT / 'configs' / 'toy'


def begin(folder: Path, study: str, settings: Mapping[str, Any]) -> None:
    """Begin a study, or go on with one of the same settings.

    Args:
        folder (Path): Its work dir.
        study (str): Its name.
        settings (Mapping[str, Any]): All that decides the numbers of a cell.

    Raises:
        LaunchError: If the folder was begun with others, naming what differs,
            or holds files of something else.
    """
    StageFolder(folder).open(study, settings, [], 1)


def digest(path: Path) -> str:
    """Tell apart files that a study starts from.

    Args:
        path (Path): The file.

    Returns:
        str: Of its content.
    """
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()


def run(*command: str | Path | int, log: Path) -> None:
    """Run one of the project's tools.

    Args:
        *command (str | Path | int): Script and arguments.
        log (Path): File for the output.

    Raises:
        SystemExit: If it fails.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    print(f'$ python {" ".join(map(str, command))}', flush=True)
    with open(log, 'w', encoding='utf-8') as file:
        done = subprocess.run(
            [sys.executable, *map(str, command)],
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
        )
    if done.returncode:
        raise SystemExit(f'This run failed; its output is in {log}.')


def by_steps(cfg: Config, steps: int, seed: int, validations: int) -> Config:
    """Make a config of epochs one of a number of steps.

    Args:
        cfg (Config): Changed in place.
        steps (int): Optimizer steps.
        seed (int): Seed of the run.
        validations (int): How often to validate.

    Returns:
        Config: The config.
    """
    warmup = max(1, steps // 10)
    interval = -(-steps // validations)
    cfg.train_cfg = dict(
        type='IterBasedTrainLoop', max_iters=steps, val_interval=interval
    )
    cfg.param_scheduler = [
        dict(
            type='LinearLR',
            start_factor=0.05,
            by_epoch=False,
            begin=0,
            end=warmup,
        ),
        dict(
            type='CosineAnnealingLR',
            by_epoch=False,
            T_max=steps - warmup,
            begin=warmup,
            end=steps,
        ),
    ]
    cfg.default_hooks.checkpoint.update(by_epoch=False, interval=interval)
    cfg.log_processor.by_epoch = False
    cfg.randomness.seed = seed
    return cfg


def encoder_of(cfg: Config) -> ConfigDict:
    """Find the config of the encoder below an adapter model.

    Args:
        cfg (Config): Config of a retriever.

    Returns:
        ConfigDict: The part with ``pretrained``.
    """
    return cfg.model.encoder.get('module', cfg.model.encoder)


def train(cfg: Config, folder: Path) -> Path:
    """Train unless it is done.

    Args:
        cfg (Config): What to train.
        folder (Path): Work dir.

    Returns:
        Path: The config as a file in the work dir.
    """
    config = folder / 'study.py'
    if not (folder / 'done').exists():
        folder.mkdir(parents=True, exist_ok=True)
        cfg.dump(config)
        run(
            *('tools/train.py', config, '--work-dir', folder, '--resume'),
            log=folder / 'train.log',
        )
        (folder / 'done').touch()
    return config


def test_best(config: Path, folder: Path) -> None:
    """Test the checkpoint that the validation chose, unless it is done.

    Args:
        config (Path): The config.
        folder (Path): Work dir of its training; ``test.json`` goes there.
    """
    if (folder / 'test.json').exists():
        return
    run(
        *('tools/test.py', config, best_weights(folder)),
        *('--work-dir', folder / 'test'),
        *('--overwrite', '--out', folder / 'test.json'),
        log=folder / 'test.log',
    )


def score_relevance(
    config: Path,
    weights: str | Path,
    bank: str | Path,
    size: int,
    out: Path,
    log: Path,
) -> None:
    """Score the pairs that a config trains on, unless it is done.

    Args:
        config (Path): The config.
        weights (str | Path): Of the scorer.
        bank (str | Path): Config whose captions are the bank.
        size (int): Captions of the bank.
        out (Path): Score file.
        log (Path): File for the output.
    """
    if not out.exists():
        run(
            *('tools/filtering/score_relevance.py', config, weights),
            *('--bank', bank, '--out', out, '--bank-size', size),
            *('--num-workers', 0, '--batch-size', 256),
            log=log,
        )


def best_weights(folder: Path) -> Path:
    """Find the checkpoint that the validation chose.

    Args:
        folder (Path): Work dir.

    Returns:
        Path: The checkpoint.
    """
    return max(folder.glob('best_*.pth'), key=lambda p: p.stat().st_mtime)


def last_weights(folder: Path) -> str:
    """Read which checkpoint a run wrote last.

    Args:
        folder (Path): Work dir.

    Returns:
        str: Path of the checkpoint.
    """
    path = Path((folder / 'last_checkpoint').read_text().strip())
    return str(folder / path.name)


def spread(values: list[float]) -> str:
    """Mean and standard deviation.

    Args:
        values (list[float]): One or more numbers.

    Returns:
        str: E.g. ``'88.31 ± 0.52'``.
    """
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f'{statistics.mean(values):.2f} ± {deviation:.2f}'
