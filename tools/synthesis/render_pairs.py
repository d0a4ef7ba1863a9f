#!/usr/bin/env python
"""Render pairs: two images of one person for each record of quadruples.

The second stage of the data engine; tools/synthesis/write_quadruples.py is
the first. CONFIG says how many pairs and by whom: a pipeline of diffusers
that makes images of texts, one that edits images, or the procedural world.
Rows go to RUN/render, images to RUN/render/images. A killed run goes on where
it was when the same command is given again. Several processes:

    torchrun --nproc-per-node 8 tools/synthesis/render_pairs.py \
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

from mmtpr.data_engine import RenderStage, Stage, StageFolder
from mmtpr.data_engine.command_line import run_from_command_line
from mmtpr.data_engine.engine_config import build_part, part_of, stage_folder


def main() -> None:
    """Render."""
    args = parser().parse_args()

    def build(cfg: Config) -> tuple[Stage, StageFolder]:
        part = part_of(cfg, 'render')
        folder = stage_folder(args.run, 'render')
        stage = build_part(
            RenderStage,
            part,
            'render',
            source=stage_folder(args.run, 'write'),
            images=folder.folder / 'images',
        )
        return stage, folder

    run_from_command_line(args, ROOT, build)


if __name__ == '__main__':
    main()
