"""The table of the toy study."""

import argparse
import re
from pathlib import Path
from typing import Any

from study_runs import spread
from toy_study_pairs import CELLS

from mmtpr.utils import read_json

TUNINGS = dict(full='full', lora='LoRA', dora='DoRA', wora='WoRA')


def results(folder: Path, cell: str, way: str) -> dict[str, float] | None:
    """Read the results of one run.

    Args:
        folder (Path): Of a rate and a seed.
        cell (str): Whose pre-training.
        way (str): Of tuning.

    Returns:
        dict[str, float] | None: Metrics, the number of trained parameters and
        ``wrong``, the share of what pre-trained in the end, in percent; None
        if the run is not done.
    """
    tuned = folder / f'{cell}_{way}'
    if not (tuned / 'test.json').exists():
        return None
    tested = read_json(tuned / 'test.json')
    values: dict[str, Any] = {k.split('/')[-1]: v for k, v in tested.items()}
    texts = (p.read_text('utf-8') for p in sorted(tuned.glob('2*/*.log')))
    found = re.search(r'Parameters: ([\d,]+) of', '\n'.join(texts))
    pairs = read_json(folder / f'pretrain_{cell}' / 'pairs.json')
    return dict(
        values,
        parameters=int(found[1].replace(',', '')) if found else 0,
        wrong=100 * pairs['wrong'] / max(pairs['pairs'], 1),
        pairs=pairs['pairs'],
    )


def table(args: argparse.Namespace) -> str:
    """Tabulate the runs that are done.

    Args:
        args (Namespace): Arguments of the command line.

    Returns:
        str: Markdown.
    """
    lines = [
        '| wrong captions | pre-trained on | pairs in the end | wrong of them '
        '| tuning | trained parameters | R@1 | mAP | seeds |',
        '|---:|---|---:|---:|---|---:|---:|---:|---:|',
    ]
    for rate in args.rates:
        folders = [
            args.work_dir / f'wrong{rate}' / f'seed{seed}'
            for seed in args.seeds
        ]
        for cell in CELLS:
            for way in args.methods:
                found = [results(folder, cell, way) for folder in folders]
                done = [r for r in found if r is not None]
                if done and cell in args.cells:
                    lines.append(_row(rate, cell, way, done))
    return '\n'.join(lines)


def _row(rate: int, cell: str, way: str, done: list[dict]) -> str:
    def mean(key: str) -> float:
        return sum(r[key] for r in done) / len(done)

    cells = [
        f'{rate} %',
        CELLS[cell],
        f'{mean("pairs"):,.0f}',
        f'{mean("wrong"):.1f} %',
        TUNINGS[way],
        f'{done[0]["parameters"]:,}',
        spread([r['R@1'] for r in done]),
        spread([r['mAP'] for r in done]),
        str(len(done)),
    ]
    return f'| {" | ".join(cells)} |'
