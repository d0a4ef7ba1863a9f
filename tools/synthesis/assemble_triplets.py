#!/usr/bin/env python
"""Assemble triplets of what judges found good.

The last stage of the data engine. The rule of CONFIG, over any fields of the
judges in RUN/judges, decides which pairs become triplets in both directions:
SynCPR.json and SynCPR_val.json, cut by record; a report, histograms of all
fields, and contact sheets of the best, the borderline and the worst pairs. No
image is moved. In one process; a second call writes the same.
"""

import argparse
from pathlib import Path

from mmtpr.utils.options import engine_parser

ROOT = Path(__file__).resolve().parents[2]


def parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    made = engine_parser(__doc__)
    made.add_argument('--out', help='folder to write; default: RUN/assembled')
    made.add_argument(
        '--judges', nargs='+', help='judges to read; default: all of RUN'
    )
    return made


if __name__ == '__main__':
    parser().parse_args()  # --help ends here, before seconds of imports

from mmengine.logging import MMLogger

from mmtpr.data_engine.assemble import Assembly, assemble
from mmtpr.data_engine.engine_config import (
    build_part,
    load_engine_config,
    part_of,
    stage_folder,
)
from mmtpr.engine import launch
from mmtpr.utils.errors import LaunchError


def find_judges(args: argparse.Namespace) -> list[str]:
    """Names of the judges that are read."""
    folder = Path(args.run, 'judges')
    present = sorted(p.parent.name for p in folder.glob('*/stage.json'))
    absent = [name for name in args.judges or () if name not in present]
    if absent or not present:
        raise LaunchError(
            f'"{folder}" has no judge "{absent[0]}".'
            if absent
            else f'No judge has judged in "{folder}" yet: run judge_pairs.py.'
        )
    return args.judges or present


def main() -> None:
    """Assemble."""
    args = parser().parse_args()
    with launch.short_errors():
        if args.launcher != 'none':
            raise LaunchError('Assembling is done by one process.')
        cfg = load_engine_config(args.config, args.cfg_options, ROOT)
        if not MMLogger.check_instance_created('mmtpr'):
            MMLogger.get_instance('mmtpr', logger_name='mmtpr')
        assembly = build_part(Assembly, part_of(cfg, 'assemble'), 'assemble')
        out = Path(args.out or Path(args.run, 'assembled'))
        judges = {
            name: stage_folder(args.run, 'judges', name)
            for name in find_judges(args)
        }
        assemble(
            assembly,
            stage_folder(args.run, 'write'),
            stage_folder(args.run, 'render'),
            judges,
            out,
        )


if __name__ == '__main__':
    main()
