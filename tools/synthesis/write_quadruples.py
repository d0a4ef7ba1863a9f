#!/usr/bin/env python
"""Write quadruples: two captions of a person and the sentences between them.

The first stage of the data engine. CONFIG says how many, about what and by
whom: a server that speaks OpenAI's protocol, a local model of transformers,
or the grammar of the procedural world. Rows go to RUN/write. A killed run
goes on where it was when the same command is given again. Several processes:

    torchrun --nproc-per-node 4 tools/synthesis/write_quadruples.py \
        CONFIG RUN --launcher pytorch
"""

from pathlib import Path

from mmtpr.utils.options import engine_parser

ROOT = Path(__file__).resolve().parents[2]


def parser():
    """Parser of the command line."""
    return engine_parser(__doc__)


if __name__ == '__main__':
    parser().parse_args()  # --help ends here, before seconds of imports

from mmengine.config import Config

from mmtpr.data_engine import Stage, StageFolder, WriteStage
from mmtpr.data_engine.command_line import run_from_command_line
from mmtpr.data_engine.engine_config import build_part, part_of, stage_folder


def main() -> None:
    """Write."""
    args = parser().parse_args()

    def build(cfg: Config) -> tuple[Stage, StageFolder]:
        part = part_of(cfg, 'write')
        stage = build_part(WriteStage, part, 'write')
        return stage, stage_folder(args.run, 'write')

    run_from_command_line(args, ROOT, build)


if __name__ == '__main__':
    main()
