#!/usr/bin/env python
"""Judge pairs: scores of every pair of images, by one of the judges of CONFIG.

The third stage of the data engine; tools/synthesis/render_pairs.py is the one
before. Judges do not know of each other: run the command once for each, also
at the same time. Rows go to RUN/judges/NAME. A killed run goes on where it was
when the same command is given again. Several processes:

    torchrun --nproc-per-node 8 tools/synthesis/judge_pairs.py \
        CONFIG RUN --judge NAME --launcher pytorch
"""

from pathlib import Path

from mmtpr.utils.options import engine_parser

ROOT = Path(__file__).resolve().parents[2]


def parser():
    """Parser of the command line."""
    parser = engine_parser(__doc__)
    parser.add_argument(
        '--judge', required=True, help='name of the judge in CONFIG'
    )
    return parser


if __name__ == '__main__':
    parser().parse_args()  # --help ends here, before seconds of imports

from mmengine.config import Config

from mmtpr.data_engine import JudgeStage, Stage, StageFolder
from mmtpr.data_engine.command_line import run_from_command_line
from mmtpr.data_engine.engine_config import build_part, part_of, stage_folder
from mmtpr.utils.errors import LaunchError


def main() -> None:
    """Judge."""
    args = parser().parse_args()

    def build(cfg: Config) -> tuple[Stage, StageFolder]:
        judges = part_of(cfg, 'judges')
        if args.judge not in judges:
            raise LaunchError(
                f'The config has no judge "{args.judge}"; it has '
                f'{", ".join(judges)}.'
            )
        pairs = stage_folder(args.run, 'render')
        stage = build_part(
            JudgeStage,
            dict(judge=judges[args.judge]),
            f'judges.{args.judge}',
            records=stage_folder(args.run, 'write'),
            pairs=pairs,
            images=pairs.folder / 'images',
        )
        return stage, stage_folder(args.run, 'judges', args.judge)

    run_from_command_line(args, ROOT, build)


if __name__ == '__main__':
    main()
