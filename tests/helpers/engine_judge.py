"""Judging a run, as a program.

Usage: python engine_judge.py RUN JUDGE OUT RANK WORLD_SIZE [KILLED_AFTER]

JUDGE is json: the arguments of a judge, with its type.
"""

import json
import os
import sys
from pathlib import Path

from engine_judged import folders_of
from engine_stages import join_group
from mmengine.registry import init_default_scope

from mmtpr.data_engine import JudgeStage, StageFolder, run_stage


class Killed(JudgeStage):
    """Killed when so many rows are there."""

    rows = -1

    def _row(self, request, verdict):
        if self.rows == 0:
            os._exit(9)
        self.rows -= 1
        return super()._row(request, verdict)


if __name__ == '__main__':
    run, judge, out, rank, world, *killed = sys.argv[1:]
    join_group(out, rank, world)
    init_default_scope('mmtpr')
    stage = Killed(*folders_of(Path(run)), json.loads(judge))
    stage.rows = int(killed[0]) if killed else -1
    run_stage(stage, StageFolder(out))
