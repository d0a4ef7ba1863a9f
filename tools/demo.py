#!/usr/bin/env python
"""From nothing to a filtered, trained, adapter-tuned and tested retriever.

Runs the project's own tools on data that it draws itself and prints each
command before it runs, so that every step can be repeated by hand:

    python tools/demo.py

Data go to data/toy and are reused; weights and logs go to work_dirs.
"""

import re
from pathlib import Path

from demo_steps import (
    METRICS,
    ROOT,
    Step,
    best_checkpoint,
    find,
    parse_args,
    ranking_step,
    run_demo,
    times,
    trained_parameters,
)
from mmengine.config import Config

from mmtpr.utils import read_json

OUT = Path('work_dirs/demo')
PRETRAIN = 'configs/toy/pretrain_toy.py'
FILTERED = 'configs/toy/pretrain_toy_filtered.py'
TUNED = 'configs/wora_toy.py'
#: Size and number of images that two CPU cores manage in minutes.
TOY_SIZE = '--size 64 32 --train 4000 --pretrain 20000'
KINDS = dict(
    another="another person's caption",
    three='three attributes wrong',
    one='one attribute wrong',
)


def stages(seed: int) -> list[Step]:
    """List the commands up to the tuned model.

    Args:
        seed (int): Seed of the data.

    Returns:
        list[Step]: In the order they run.
    """
    noisy, filtered = weights('noisy_weights'), weights('filtered_weights')
    scores = Config.fromfile(ROOT / FILTERED).relevance_scores
    return [
        Step(
            'data',
            'Draw pedestrians and describe them, 30 % of one set wrongly',
            f'tools/synthesis/write_toy_data.py --out data/toy {TOY_SIZE} '
            f'--seed {seed}',
        ),
        Step(
            'pretrain',
            'Pre-train a small dual encoder on the noisy set',
            f'tools/train.py {PRETRAIN}',
        ),
        Step(
            'score',
            'Score how well each image and caption of that set fit',
            f'tools/filtering/score_relevance.py {PRETRAIN} {noisy} '
            f'--bank {TUNED} --bank-size 3000 --out {scores} --overwrite '
            '--num-workers 0 --batch-size 256',
        ),
        Step(
            'report',
            'Compare the scores with the truth that was kept aside',
            f'tools/filtering/report_relevance.py {scores} '
            f'--truth data/toy/pretrain/truth.json --config {PRETRAIN} '
            f'--out {OUT}/relevance --overwrite',
        ),
        Step(
            'filtered',
            'Go on pre-training with the pairs that fit',
            f'tools/train.py {FILTERED}',
        ),
        Step(
            'test_before',
            'Test on unseen people before tuning',
            f'tools/test.py {FILTERED} {filtered} --overwrite '
            f'--out {OUT}/before.json',
        ),
        Step(
            'wora',
            'Tune with WoRA on the clean target set',
            f'tools/train.py {TUNED}',
        ),
    ]


def last_steps() -> list[Step]:
    """List the commands that need to know which checkpoint is best.

    Returns:
        list[Step]: In the order they run.
    """
    best = best_checkpoint(Path('work_dirs/wora_toy'))
    return [
        Step(
            'test_after',
            'Test the tuned model on the same people',
            f'tools/test.py {TUNED} {best} --overwrite --out {OUT}/after.json '
            '--cfg-options '
            f'test_evaluator.save_ranking={OUT}/ranking.json',
        ),
        ranking_step(OUT, 'Draw ranked lists'),
    ]


def weights(name: str) -> str:
    """Find where the configs say that a stage leaves its weights.

    Args:
        name (str): ``noisy_weights`` or ``filtered_weights``.

    Returns:
        str: Path of a checkpoint.
    """
    return Config.fromfile(ROOT / FILTERED)[name]


def summary(out: Path, seconds: dict[str, float]) -> str:
    """Put the results that the tools wrote into tables.

    Args:
        out (Path): Folder of the results.
        seconds (dict[str, float]): Time of each step, by name.

    Returns:
        str: Markdown.
    """
    lines = [
        '| | ' + ' | '.join(METRICS) + ' | trained parameters |',
        '|---|' + '---:|' * (len(METRICS) + 1),
    ]
    for title, metrics, log in (
        ('before tuning', 'before', 'filtered'),
        ('after WoRA', 'after', 'wora'),
    ):
        values = read_json(out / f'{metrics}.json')
        row = ' | '.join(f'{find(values, name):.2f}' for name in METRICS)
        count = trained_parameters(out / 'logs' / f'{log}.log')
        lines.append(f'| {title} | {row} | {count} |')
    return '\n'.join([*lines, '', *filter_lines(out), '', times(seconds)])


def filter_lines(out: Path) -> list[str]:
    """Tabulate how the filter told wrong pairs from right ones.

    Args:
        out (Path): Folder of the results.

    Returns:
        list[str]: Lines of Markdown.
    """
    report = read_json(out / 'relevance' / 'report.json')
    lines = ['| wrong captions | pairs | filter AUC |', '|---|---:|---:|']
    for kind, title in KINDS.items():
        row = report['auc'][kind]
        lines.append(f'| {title} | {row["pairs"]} | {row["rank"]:.3f} |')
    kept = re.search(
        r'kept ([\d,]+) of ([\d,]+)',
        (out / 'logs' / 'filtered.log').read_text('utf-8'),
    )
    if kept:
        first, second = (int(n.replace(',', '')) for n in kept.groups())
        lines += ['', f'Kept share: {100 * first / second:.1f} % of pairs.']
    return lines


def main() -> None:
    """Run the demo."""
    args = parse_args(__doc__)
    run_demo(OUT, lambda: stages(args.seed), last_steps, summary)


if __name__ == '__main__':
    main()
