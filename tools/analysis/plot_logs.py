#!/usr/bin/env python
"""Draw what several runs have logged: loss, learning rate, val R@1.

A run is its work dir or one of its json logs. Logs of a run that was resumed
are joined by step.

    plot_logs.py work_dirs/wora_cuhk work_dirs/lora_cuhk --out logs.png
    plot_logs.py work_dirs/wora_cuhk --keys loss_sdm loss_id mAP
"""

import argparse

from mmtpr.utils.options import add_figure_options

KEYS = ('loss', 'lr', 'R@1')


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('runs', nargs='+', help='work dirs or json logs')
    parser.add_argument(
        '--keys',
        nargs='+',
        help=f'what to draw, as it is named in the logs ({" ".join(KEYS)})',
    )
    add_figure_options(parser, 'logs.png')
    return parser.parse_args()


if __name__ == '__main__':
    parse_args()  # --help and mistakes end here, before seconds of imports

from mmtpr.engine import launch
from mmtpr.visualization.curves import (
    Curve,
    Panel,
    check_figure,
    draw_panels,
    name_runs,
)
from mmtpr.visualization.run_logs import (
    RunLog,
    find_logs,
    read_run,
    require_keys,
)


def make_panels(runs: list[RunLog], keys: list[str]) -> list[Panel]:
    """One panel for each key, two for one of training and validation."""
    panels = []
    for key in keys:
        for axis in ('iteration', 'epoch'):
            curves = [
                Curve(run.label, *run.series[key, axis])
                for run in runs
                if (key, axis) in run.series
            ]
            if curves:
                panels.append(Panel(key, axis, curves))
    return panels


def report(runs: list[RunLog], keys: list[str]) -> None:
    """Say what was joined, skipped, and what a run does not have."""
    for run in runs:
        for note in run.notes:
            print(note)
        if lacking := [key for key in keys if key not in run.keys]:
            print(f'{run.label}: nothing logged of {", ".join(lacking)}.')


def main() -> None:
    """Draw."""
    args = parse_args()
    with launch.short_errors():
        labels = name_runs(args.runs, args.labels)
        read = [file for run in args.runs for file in find_logs(run)]
        check_figure(args.out, args.overwrite, read)
        runs = [*map(read_run, args.runs, labels)]
        keys = list(dict.fromkeys(args.keys or KEYS))
        known = {key for run in runs for key in run.keys}
        # Runs without validation have no R@1: no reason to draw nothing.
        if args.keys or known.isdisjoint(keys):
            require_keys(runs, keys)
        report(runs, keys)
        panels = make_panels(runs, keys)
        draw_panels(panels, args.out)
    print(f'{args.out}: {len(panels)} panels of {len(runs)} runs')


if __name__ == '__main__':
    main()
