"""Check the datasets of a config on disk.

Prints counts beside the published ones, missing and unreadable images,
captions shared by several persons, empty captions, captions with control
characters, and identities that occur in two splits. Of composed datasets
(SynCPR, ITCPR): counts, missing and unreadable images, empty captions,
queries whose instance_id nothing in the gallery has, repeated gallery paths.

Example:
    python tools/dataset_checks/check_dataset.py configs/irra_cuhk.py
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from mmtpr.utils.options import (
    add_config_options,
    add_overwrite,
    at_least,
    check_output,
)

ROOT = Path(__file__).resolve().parents[2]


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line.

    Args:
        argv (Sequence[str], optional): Arguments. Defaults to sys.argv.

    Returns:
        argparse.Namespace: What was asked for.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--split',
        nargs='+',
        choices=('train', 'val', 'test'),
        help='splits to check; all by default',
    )
    parser.add_argument(
        '--no-images',
        action='store_true',
        help='do not decode images; of composed datasets, missing ones '
        'are found all the same',
    )
    parser.add_argument(
        '--workers', type=at_least(1), default=8, help='threads that decode'
    )
    parser.add_argument(
        '--limit', type=at_least(0), default=5, help='examples of each finding'
    )
    parser.add_argument('--json', metavar='FILE', help='write the report')
    parser.add_argument(
        '--strict',
        action='store_true',
        help='exit with 1 if something is wrong; shared captions and repeated '
        'gallery paths are not',
    )
    parser.add_argument(
        '--ignore-counts',
        action='store_true',
        help='counts that differ from the published ones, as those of a '
        'subset do, are no problems',
    )
    add_overwrite(parser)
    add_config_options(parser)
    return parser.parse_args(argv)


if __name__ == '__main__':
    parse_args()  # --help and mistakes end here, before seconds of imports

from mmtpr.datasets.checks import (
    check_config,
    count_differences,
    count_problems,
    findings_of,
)
from mmtpr.engine import launch
from mmtpr.utils import atomic_write
from mmtpr.utils.images import missing_cure

_USUAL = 'Check data_root and data_prefix in the config'


def render(report: dict, ignore_counts: bool = False) -> str:
    """Write a report as text.

    Args:
        report (dict): Result of ``check_config``.
        ignore_counts (bool): Whether counts may differ from the published
            ones. Defaults to False.

    Returns:
        str: Several lines.
    """
    lines = []
    differs = '  differs, allowed' if ignore_counts else '  differs'
    for split in report['splits']:
        lines += ['', f'{split["dataset"]} {split["split"]}']
        lines += [f'  {split["source"]}']
        wrong = count_differences(split)
        for name, number in split['found'].items():
            known = (split['published'] or {}).get(name)
            told = f'{known:>12,}' if known is not None else f'{"-":>12}'
            mark = differs if name in wrong else ''
            lines.append(f'  {name:<26}{number:>12,}  published {told}{mark}')
        for name in findings_of(split):
            lines += _finding(name.replace('_', ' '), split[name])
            if name == 'missing_images' and split[name]['examples']:
                first = split[name]['examples'][0]
                lines.append(f'      {missing_cure(first, _USUAL)}')
    for overlap in report['overlaps']:
        name = (
            f'{overlap["dataset"]}: ids in {" and ".join(overlap["splits"])}'
        )
        lines += ['', *_finding(name, overlap)]
    if not report['overlaps']:
        lines += ['', 'No identity occurs in two splits.']
    if report['skipped']:
        lines += [f'Not checked: {", ".join(report["skipped"])}']
    return '\n'.join(lines[1:])


def _finding(name: str, finding: dict) -> list[str]:
    lines = [f'  {name:<26}{finding["number"]:>12,}']
    for example in finding['examples']:
        if isinstance(example, dict):
            example = (
                f'{len(example["pids"])} persons: {example["caption"][:60]!r}'
            )
        lines.append(f'      {example}')
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool.

    Args:
        argv (Sequence[str], optional): Arguments. Defaults to sys.argv.

    Returns:
        int: Exit status.
    """
    args = parse_args(argv)
    if args.json:
        check_output(args.json, args.overwrite, [args.config])
    cfg = launch.load_config(args.config, args.cfg_options, ROOT)
    report = check_config(
        cfg,
        splits=args.split,
        images=not args.no_images,
        num_workers=args.workers,
        limit=args.limit,
    )
    problems = count_problems(report, args.ignore_counts)
    print(render(report, args.ignore_counts))
    print(f'{problems} problems found.')
    if args.json:
        with atomic_write(args.json, 'w') as file:
            json.dump({**report, 'problems': problems}, file, indent=1)
    return int(args.strict and problems > 0)


if __name__ == '__main__':
    with launch.short_errors():
        sys.exit(main())
