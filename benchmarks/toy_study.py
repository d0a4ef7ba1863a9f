#!/usr/bin/env python
"""Compare filtered with unfiltered pre-training, and ways of tuning.

For each seed a dual encoder is pre-trained on the noisy toy set and scores
it; a second one is pre-trained, for as many steps, on the pairs that the
scores keep. Each of the two is then tuned on the clean target set, for as many
steps, in full, with LoRA, DoRA and WoRA. The checkpoint is chosen on the
validation split and tested once.

    python tools/synthesis/write_toy_data.py --out data/toy --size 64 32 ...
    python benchmarks/toy_study.py --seeds 0 1 2

(`make demo` writes these data as well.) Finished runs are kept in the work
dir: the same command goes on where a killed one was. The table goes to
WORK_DIR/table.md.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

from mmengine.config import Config, ConfigDict

from mmtpr.utils import atomic_write, read_json

ROOT = Path(__file__).resolve().parents[1]

TOY = ROOT / 'configs' / 'toy'
PRETRAININGS = ('unfiltered', 'filtered')
TUNINGS = dict(full='full', lora='LoRA', dora='DoRA', wora='WoRA')


def parse_args() -> argparse.Namespace:
    """Parse the command line.

    Returns:
        Namespace: The arguments.
    """
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add('--seeds', type=int, nargs='+', default=[0, 1, 2])
    add('--pretrain-steps', type=int, default=900)
    add('--steps', type=int, default=450, help='of each tuning')
    add('--methods', nargs='+', choices=TUNINGS, default=list(TUNINGS))
    add('--bank-size', type=int, default=3000)
    add('--work-dir', type=Path, default=Path('work_dirs/toy_study'))
    return parser.parse_args()


def run(*command: str | Path, log: Path) -> None:
    """Run one of the project's tools.

    Args:
        *command (str | Path): Script and arguments.
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


def last_weights(folder: Path) -> str:
    """Read which checkpoint a run wrote last.

    Args:
        folder (Path): Work dir.

    Returns:
        str: Path of the checkpoint.
    """
    path = Path((folder / 'last_checkpoint').read_text().strip())
    return str(folder / path.name)


def pretrain(args: argparse.Namespace, seed: int) -> dict[str, str]:
    """Pre-train with and without filter.

    Args:
        args (Namespace): Arguments of the command line.
        seed (int): Seed of the runs.

    Returns:
        dict[str, str]: Weights by kind of pre-training.
    """
    root, steps = args.work_dir / f'seed{seed}', args.pretrain_steps
    folders = {name: root / f'pretrain_{name}' for name in PRETRAININGS}
    cfg = Config.fromfile(TOY / 'pretrain_toy.py')
    config = train(by_steps(cfg, steps, seed, 1), folders['unfiltered'])
    noisy = last_weights(folders['unfiltered'])
    scores = root / 'relevance.npz'
    if not scores.exists():
        run(
            *('tools/filtering/score_relevance.py', config, noisy),
            *('--bank', 'configs/wora_toy.py', '--out', scores),
            *('--bank-size', args.bank_size, '--num-workers', 0),
            log=root / 'score.log',
        )
    cfg = Config.fromfile(TOY / 'pretrain_toy_filtered.py')
    cfg.train_dataloader.dataset.scores = str(scores)
    cfg.optim_wrapper = Config.fromfile(TOY / 'pretrain_toy.py').optim_wrapper
    encoder_of(cfg).pretrained = None
    train(by_steps(cfg, steps, seed, 1), folders['filtered'])
    return {name: last_weights(folder) for name, folder in folders.items()}


def tune(
    args: argparse.Namespace, seed: int, method: str, name: str, weights: str
) -> None:
    """Tune and test once.

    Args:
        args (Namespace): Arguments of the command line.
        seed (int): Seed of the run.
        method (str): Key of ``TUNINGS``.
        name (str): Kind of pre-training.
        weights (str): Its checkpoint.
    """
    folder = args.work_dir / f'seed{seed}' / f'{name}_{method}'
    if (folder / 'test.json').exists():
        return
    cfg = Config.fromfile(TOY / f'{method}_toy.py')
    encoder_of(cfg).pretrained = weights
    config = train(by_steps(cfg, args.steps, seed, 5), folder)
    best = max(folder.glob('best_*.pth'), key=lambda p: p.stat().st_mtime)
    run(
        *('tools/test.py', config, best, '--work-dir', folder / 'test'),
        *('--overwrite', '--out', folder / 'test.json'),
        log=folder / 'test.log',
    )


def results(folder: Path) -> dict[str, float] | None:
    """Read the results of one run.

    Args:
        folder (Path): Work dir.

    Returns:
        dict[str, float] | None: R@1, mAP and the number of trained
        parameters; None if the run is not done.
    """
    if not (folder / 'test.json').exists():
        return None
    values = {k.split('/')[-1]: v for k, v in
              read_json(folder / 'test.json').items()}  # fmt: skip
    log = (folder / 'train.log').read_text('utf-8')
    count = re.search(r'Parameters: ([\d,]+) of', log).group(1)
    return dict(values, parameters=int(count.replace(',', '')))


def spread(values: list[float]) -> str:
    """Mean and standard deviation.

    Args:
        values (list[float]): One or more numbers.

    Returns:
        str: E.g. ``'88.31 ± 0.52'``.
    """
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f'{statistics.mean(values):.2f} ± {deviation:.2f}'


def table(args: argparse.Namespace) -> str:
    """Tabulate the runs that are done.

    Args:
        args (Namespace): Arguments of the command line.

    Returns:
        str: Markdown.
    """
    lines = [
        '| pre-training | tuning | trained parameters | R@1 | mAP | seeds |',
        '|---|---|---:|---:|---:|---:|',
    ]
    for name in PRETRAININGS:
        for method in args.methods:
            folders = (
                args.work_dir / f'seed{seed}' / f'{name}_{method}'
                for seed in args.seeds
            )
            done = [r for r in map(results, folders) if r is not None]
            if not done:
                continue
            lines.append(
                f'| {name} | {TUNINGS[method]} | {done[0]["parameters"]:,} | '
                f'{spread([r["R@1"] for r in done])} | '
                f'{spread([r["mAP"] for r in done])} | {len(done)} |'
            )
    return '\n'.join(lines)


def main() -> None:
    """Run the study."""
    args = parse_args()
    args.work_dir = (ROOT / args.work_dir).resolve()
    for seed in args.seeds:
        for name, weights in pretrain(args, seed).items():
            for method in args.methods:
                tune(args, seed, method, name, weights)
    settings = {k: str(v) for k, v in vars(args).items() if k != 'work_dir'}
    text = f'Settings: {json.dumps(settings)}\n\n{table(args)}\n'
    with atomic_write(args.work_dir / 'table.md', 'w') as file:
        file.write(text)
    print(f'\n{text}')


if __name__ == '__main__':
    main()
