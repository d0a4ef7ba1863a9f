"""Rendering with faults, as a program.

Usage: python engine_render.py RUN RANK WORLD_SIZE [KILLED_AFTER]
"""

import os
import sys
from pathlib import Path

from engine_stages import join_group

from mmtpr.data_engine import (
    ProceduralRenderer,
    RenderStage,
    StageFolder,
    run_stage,
)

FAULTS = dict(another_look=0.2, same_clothes=0.2, damaged=0.2)


class Killed(RenderStage):
    """Killed when an image is there and its row is not."""

    rows = -1

    def _row(self, request, pair):
        row = super()._row(request, pair)
        if self.rows == 0:
            os._exit(9)
        self.rows -= 1
        return row


if __name__ == '__main__':
    place, rank, world, *killed = sys.argv[1:]
    join_group(place, rank, world)
    run = Path(place)
    stage = Killed(
        StageFolder(run / 'write'),
        run / 'render/images',
        ProceduralRenderer((64, 32), FAULTS),
        per_record=3,
    )
    stage.rows = int(killed[0]) if killed else -1
    run_stage(stage, StageFolder(run / 'render'))
