"""Judges in processes that are killed, and in several: the same bytes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from engine_content import content
from engine_judged import judge_stage, judged, write_run
from gallery_model import write_model

from mmtpr.data_engine import (
    ImageJudge,
    RelevanceJudge,
    StageFolder,
    run_stage,
)

SCRIPT = Path(__file__).resolve().parents[1] / 'helpers/engine_judge.py'


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp('run')
    write_run(folder)  # 12 pairs in blocks of 8 and 4
    return folder


@pytest.fixture(scope='module')
def judge(run):
    """How judges are told to the program, and what each gives unharmed."""
    config, weights = write_model(run / 'model')
    how = dict(device='cpu', batch_size=5, bank_size=10)
    relevance = dict(config=str(config), checkpoint=str(weights), **how)
    judges = dict(
        image=(ImageJudge, {}), relevance=(RelevanceJudge, relevance)
    )

    def find(name):
        kind, options = judges[name]
        told = json.dumps(dict(type=f'mmtpr.{kind.__name__}', **options))
        folder = StageFolder(run / 'judges' / name)
        if folder.summary is None:
            judged(run, kind(**options), name)
        return told, lambda: kind(**options), content(folder.folder)

    return find


@pytest.mark.parametrize(
    ('name', 'rows', 'again'),
    [
        ('image', 0, 12),
        ('image', 5, 7),
        ('relevance', 5, 12),  # pairs of one batch are judged together
        ('relevance', 9, 4),
    ],
)
def test_a_killed_judge_goes_on(run, judge, tmp_path, name, rows, again):
    told, build, whole = judge(name)
    out = tmp_path / 'out'
    command = [sys.executable, SCRIPT, run, told, out, '0', '1', str(rows)]
    assert subprocess.run(command, check=False).returncode == 9
    assert 'summary.json' not in content(out)
    stage, made = judge_stage(run, build()), []
    row = stage._row

    def counted(request, verdict):
        made.append(request.key)
        return row(request, verdict)

    stage._row = counted
    run_stage(stage, StageFolder(out))
    assert len(made) == again
    assert content(out) == whole


@pytest.mark.parametrize('name', ['image', 'relevance'])
def test_two_processes_judge_the_same(
    run, judge, run_together, tmp_path, name
):
    told, _, whole = judge(name)
    out = tmp_path / 'out'
    run_together(*([SCRIPT, run, told, out, rank, 2] for rank in range(2)))
    assert content(out) == whole
