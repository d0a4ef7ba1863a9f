#!/usr/bin/env python
"""Draw CMC and precision-recall curves, and list queries as a csv.

From the files that ``PersonRetrievalMetric(save_ranking=...)`` and the metrics
like it wrote, one for each run. They hold the ranks of all right items in the
whole gallery, so that the curves do not end where the saved lists end.

    plot_curves.py wora.json lora.json --labels WoRA LoRA --out curves.png
    plot_curves.py wora.json --csv queries.csv
"""

import argparse
import csv

from mmtpr.utils.options import add_figure_options, check_output


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('rankings', nargs='+', help='saved ranked lists')
    parser.add_argument(
        '--max-rank', type=int, default=50, help='greatest k of R@k (50)'
    )
    parser.add_argument('--csv', help='csv to write, one row a query')
    parser.add_argument(
        '--csv-paths',
        type=int,
        default=5,
        help='best items that a row names (5); no more than were saved',
    )
    add_figure_options(parser, 'curves.png')
    args = parser.parse_args()
    if args.max_rank < 1 or args.csv_paths < 0:
        parser.error('--max-rank must be at least 1, --csv-paths 0')
    return args


if __name__ == '__main__':
    parse_args()  # --help and mistakes end here, before seconds of imports

from mmtpr.engine import launch
from mmtpr.evaluation import (
    cmc_curve,
    precision_recall_curve,
    read_ranking,
)
from mmtpr.evaluation.metrics.ranking_file import (
    first_ranks,
    query_rows,
    saved_ranking,
)
from mmtpr.structures.negatives import words_of
from mmtpr.utils import atomic_write
from mmtpr.visualization.curves import (
    Curve,
    Panel,
    check_figure,
    draw_panels,
    name_runs,
)


def make_panels(runs: dict[str, dict], max_rank: int) -> list[Panel]:
    """CMC of all runs; precision and recall of those that tell."""
    cmc, precision = [], []
    for label, content in runs.items():
        first = first_ranks(content)
        values = cmc_curve(first, max_rank).tolist()
        cmc.append(Curve(label, range(1, max_rank + 1), values))
        report(label, content, int(first.isnan().sum()))
        ranking = saved_ranking(content)
        if ranking is None:
            print(
                f'{label}: no precision-recall curve; the file is of mmtpr '
                '0.1 and does not tell how many items are right. Test again.'
            )
            continue
        curve = precision_recall_curve(ranking)
        precision.append(Curve(label, *(x.tolist() for x in curve)))
    panels = [Panel('CMC', 'k', cmc, 'R@k, %')]
    if precision:
        panels.append(
            Panel(
                'mean precision at equal recall',
                *('recall, %', precision, 'precision, %', (0, 103)),
                counts=False,
            )
        )
    return panels


def report(label: str, content: dict, without: int) -> None:
    """Print the numbers of a run."""
    numbers = content.get('metrics', {}).items()
    print(
        f'{label}: {len(content["queries"])} queries'
        + ''.join(f', {name} {value:.2f}' for name, value in numbers)
    )
    if without:
        print(f'{label}: {without} queries have no right item; left out.')


def check_alike(runs: dict[str, dict]) -> None:
    """Say where runs cannot be compared."""
    for name in ('match_key', 'ties'):
        found = [
            f'{run}: {content.get(name)}' for run, content in runs.items()
        ]
        if len({content.get(name) for content in runs.values()}) > 1:
            print(f'Not measured alike, {name} differs: {", ".join(found)}.')
    asked = [
        [(words_of(q), q.get('img_path')) for q in content['queries']]
        for content in runs.values()
    ]
    if any(queries != asked[0] for queries in asked):
        print('Not measured alike: the runs have different queries.')


def write_csv(runs: dict[str, dict], path: str, num_paths: int) -> int:
    """Write a row for each query of each run."""
    rows = [
        dict(run=label, **row)
        for label, content in runs.items()
        for row in query_rows(content, num_paths)
    ]
    names = dict.fromkeys(name for row in rows for name in row)
    with atomic_write(path, 'w') as file:
        writer = csv.DictWriter(file, list(names), lineterminator='\n')
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


def main() -> None:
    """Draw and write."""
    args = parse_args()
    with launch.short_errors():
        labels = name_runs(args.rankings, args.labels)
        check_figure(args.out, args.overwrite, args.rankings)
        if args.csv:
            check_output(args.csv, args.overwrite, args.rankings)
        contents = map(read_ranking, args.rankings)
        runs = dict(zip(labels, contents, strict=True))
        panels = make_panels(runs, args.max_rank)
        check_alike(runs)
        draw_panels(panels, args.out)
        print(f'{args.out}: {len(panels)} panels of {len(runs)} runs')
        if args.csv:
            number = write_csv(runs, args.csv, args.csv_paths)
            print(f'{args.csv}: {number} rows')


if __name__ == '__main__':
    main()
