"""The ablation of the light FAFA on little data."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from toy_project import FEW, copy_small_project, leave_encoder

WORKER = Path(__file__).resolve().parents[1] / 'helpers/study_worker.py'
NAME = 'fafa_ablation'


@pytest.fixture(scope='module')
def study(tmp_path_factory, repo_root):
    project = tmp_path_factory.mktemp('project')
    copy_small_project(project, 'benchmarks')
    leave_encoder(project)
    tool = 'tools/synthesis/write_composed_toy_data.py'
    subprocess.run(
        [sys.executable, tool, '--out', 'data/toy_composed', *FEW.split()],
        cwd=project,
        check=True,
        capture_output=True,
    )

    def run(steps, *variants):
        (project / 'called.txt').unlink(missing_ok=True)
        words = ['--seeds', '3', '--steps', str(steps), '--variants']
        done = subprocess.run(
            [
                sys.executable,
                WORKER,
                'fafa_ablation',
                project,
                '',
                *words,
                *variants,
            ],
            capture_output=True,
            text=True,
            env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
        )
        called = project / 'called.txt'
        done.called = called.read_text() if called.exists() else ''
        return done

    run.project = project
    return run


def test_it_goes_on_with_the_same_settings_alone(study):
    done = study(2, 'fda')
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.called.count('tools/train.py') == 1
    assert '| FDA alone | ' in done.stdout
    done = study(2, 'fda', 'k1')
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.called.count('tools/train.py') == 1
    assert '| k = 1 | ' in done.stdout
    done = study(3, 'fda')
    assert done.returncode == 1
    assert 'was begun with other settings (steps: 2 there, 3 now)' in (
        done.stderr
    )
    assert 'Traceback' not in done.stderr
    for weights in study.project.glob('work_dirs/pretrain*/*.pth'):
        weights.unlink()
    done = study(2, 'fda')
    assert done.returncode == 1
    assert 'is missing: run "make demo demo-composed" first' in done.stderr
