#!/usr/bin/env python
"""From nothing to a cross-modal retriever that looks twice.

Pre-trains a small APTM (Swin and BERT) with attribute prompts on data that it
draws itself, tunes it with WoRA, tests it with and without re-ranking, and
prints each command before it runs. Data that tools/demo.py left are used:

    python tools/demo_aptm.py

Data go to data/toy; weights and logs go to work_dirs. Needs the extra
[blip2], for transformers' BERT.
"""

from pathlib import Path

from demo import stages
from demo_steps import (
    METRICS,
    ROOT,
    Step,
    best_checkpoint,
    parse_args,
    ranking_step,
    run_demo,
    times,
    trained_parameters,
)
from mmengine.config import Config

from mmtpr.utils import read_json

OUT = Path('work_dirs/demo_aptm')
PRETRAIN = 'configs/toy/aptm_pretrain_toy.py'
TUNED = 'configs/wora_aptm_toy.py'
#: Title of a row -> file of numbers and how they begin there.
ROWS = {
    'before tuning, by cosine': ('before', 'cosine/'),
    'before tuning, re-ranked': ('before', ''),
    'after WoRA, by cosine': ('after', 'cosine/'),
    'after WoRA, re-ranked': ('after', ''),
}


def training_steps(seed: int) -> list[Step]:
    """List the commands up to the tuned model.

    Args:
        seed (int): Seed of the data.

    Returns:
        list[Step]: In the order they run. Drawing leaves data that are there
        alone.
    """
    weights = Config.fromfile(ROOT / PRETRAIN).pretrained_weights
    return [
        *(step for step in stages(seed) if step.name == 'data'),
        Step(
            'pretrain',
            'Pre-train a small Swin and BERT, attributes included',
            f'tools/train.py {PRETRAIN}',
        ),
        Step(
            'test_before',
            'Test on unseen people before tuning',
            f'tools/test.py {PRETRAIN} {weights} --overwrite '
            f'--out {OUT}/before.json',
        ),
        Step(
            'wora',
            'Tune with WoRA on the clean target set',
            f'tools/train.py {TUNED}',
        ),
    ]


def testing_steps() -> list[Step]:
    """List the commands that need to know which checkpoint is best.

    Returns:
        list[Step]: In the order they run.
    """
    best = best_checkpoint(Path('work_dirs', Path(TUNED).stem))
    return [
        Step(
            'test_after',
            'Test the tuned model on the same people',
            f'tools/test.py {TUNED} {best} --overwrite --out {OUT}/after.json '
            f'--cfg-options test_evaluator.save_ranking={OUT}/ranking.json',
        ),
        ranking_step(OUT, 'Draw ranked lists'),
    ]


def summary(out: Path, seconds: dict[str, float]) -> str:
    """Put the results that the tools wrote into a table.

    Args:
        out (Path): Folder of the results.
        seconds (dict[str, float]): Time of each step, by name.

    Returns:
        str: Markdown.
    """
    lines = [
        f'| | {" | ".join(METRICS)} | trained parameters |',
        f'|---|{"---:|" * (len(METRICS) + 1)}',
    ]
    logs = dict(before='pretrain', after='wora')
    for title, (name, prefix) in ROWS.items():
        values = read_json(out / f'{name}.json')
        cells = [f'{values[prefix + key]:.2f}' for key in METRICS]
        cells.append(trained_parameters(out / f'logs/{logs[name]}.log'))
        lines.append(f'| {title} | {" | ".join(cells)} |')
    return '\n'.join([*lines, '', times(seconds)])


def main() -> None:
    """Run the demo."""
    args = parse_args(__doc__)
    run_demo(OUT, lambda: training_steps(args.seed), testing_steps, summary)


if __name__ == '__main__':
    main()
