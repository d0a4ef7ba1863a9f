"""Tables of the study of filtered triplets."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from study_runs import spread

from mmtpr.utils import read_json

METRICS = ('R@1', 'R@5', 'R@10', 'mAP')
#: Row -> what it is called.
CELLS = {
    'all': 'all pairs',
    'passed': 'what the rule lets through',
    'clean': 'all clean pairs (truth)',
    'half_clean': 'half of the clean pairs (truth)',
    'half_mixed': 'all faulty pairs, half of the clean ones (truth)',
}
#: Least AUC of the best field, by fault; points of R@1 that filtering wins.
LEAST_AUC = dict(
    damaged=0.95, another_look=0.95, same_clothes=0.9, wrong_change=0.85
)
LEAST_GAIN = 3


def results_of(work_dir: Path, seeds: Sequence[int], name: str) -> list[dict]:
    """Read the results of a row that are there.

    Args:
        work_dir (Path): Folder of the study.
        seeds (Sequence[int]): Seeds to look for.
        name (str): Key of ``CELLS``.

    Returns:
        list[dict]: Of each seed that is done.
    """
    paths = (work_dir / f'seed{seed}/{name}/result.json' for seed in seeds)
    return [read_json(path) for path in paths if path.exists()]


def quality_table(work_dir: Path, seeds: Sequence[int]) -> list[str]:
    """Tabulate what the trainings came to.

    Args:
        work_dir (Path): Folder of the study.
        seeds (Sequence[int]): Seeds to look for.

    Returns:
        list[str]: Lines of markdown.
    """
    lines = [
        f'| trained on | pairs | faulty, % | {" | ".join(METRICS)} | seeds |',
        f'|---|---:|---:|{"---:|" * len(METRICS)}---:|',
    ]
    for name in CELLS:
        done = results_of(work_dir, seeds, name)
        if done:
            pairs = round(sum(one['pairs'] for one in done) / len(done))
            faulty = [100 * one['faulty'] / one['pairs'] for one in done]
            cells = [spread([one[key] for one in done]) for key in METRICS]
            lines.append(
                f'| {CELLS[name]} | {pairs:,} | {spread(faulty)} | '
                f'{" | ".join(cells)} | {len(done)} |'
            )
    return [*lines, *gain_lines(work_dir, seeds)]


def gain_lines(work_dir: Path, seeds: Sequence[int]) -> list[str]:
    """Say what filtering wins.

    Args:
        work_dir (Path): Folder of the study.
        seeds (Sequence[int]): Seeds to look for.

    Returns:
        list[str]: Lines of markdown, none before both rows are there.
    """
    before, after = (
        results_of(work_dir, seeds, name) for name in ('all', 'passed')
    )
    if not before or len(before) != len(after):
        return []
    pairs = zip(before, after, strict=True)
    gains = [new['R@1'] - old['R@1'] for old, new in pairs]
    reached = 'yes' if sum(gains) / len(gains) >= LEAST_GAIN else 'NO'
    return [
        '',
        f'R@1 that the filter wins: {spread(gains)} points; to reach, '
        f'{LEAST_GAIN}: {reached}.',
    ]


def fault_table(work_dir: Path, seeds: Sequence[int]) -> list[str]:
    """Tabulate how each field of the rule finds each fault, by seed.

    Args:
        work_dir (Path): Folder of the study.
        seeds (Sequence[int]): Seeds to look for.

    Returns:
        list[str]: Lines of markdown.
    """
    reports = {}
    for seed in seeds:
        path = work_dir / f'seed{seed}/run/assembled/report.json'
        if path.exists():
            reports[seed] = read_json(path)
    if not reports:
        return []
    rules = {seed: report['rule'] for seed, report in reports.items()}
    terms = next(iter(rules.values()))['terms']
    fields = [term['term'].split()[0] for term in terms]
    lines = [
        f'| fault | seed | pairs | kept | {" | ".join(fields)} | to reach |',
        f'|---|---:|---:|---:|{"---:|" * len(fields)}---:|',
    ]
    names = {
        n for report in reports.values() for n in report['planted_faults']
    }
    for name in sorted(names):
        found = {
            seed: report['planted_faults'][name]
            for seed, report in reports.items()
            if name in report['planted_faults']
        }
        lines += fault_lines(name, found, fields)
    shares = [100 * rule['kept'] / rule['pairs'] for rule in rules.values()]
    return [*lines, '', f'Kept share: {spread(shares)} % of the pairs.']


def fault_lines(name: str, found: dict, fields: list[str]) -> list[str]:
    """Tabulate one fault.

    Args:
        name (str): The fault.
        found (dict[int, dict]): Number, kept and AUC by seed.
        fields (list[str]): Fields of the rule.

    Returns:
        list[str]: A line a seed, and their mean and deviation.
    """
    lines = []
    for seed, one in found.items():
        cells = ' | '.join(f'{one["auc"][field]:.3f}' for field in fields)
        lines.append(
            f'| {name} | {seed} | {one["number"]} | {one["kept"]} | {cells} '
            '| |'
        )
    aucs = [[one['auc'][field] for field in fields] for one in found.values()]
    mean, deviation = np.mean(aucs, 0), np.std(aucs, 0, ddof=len(aucs) > 1)
    cells = ' | '.join(
        f'{m:.3f} ± {d:.3f}' for m, d in zip(mean, deviation, strict=True)
    )
    goal, told = LEAST_AUC.get(name), ''
    if goal is not None:
        told = f'{goal:.2f}: {"yes" if mean.max() >= goal else "NO"}'
    return [*lines, f'| {name} | mean | | | {cells} | {told} |']
