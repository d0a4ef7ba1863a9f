"""The study of filtered triplets on little data, killed and gone on."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from toy_project import copy_small_project, leave_encoder

from mmtpr.data_engine import StageFolder
from mmtpr.utils import read_json

WORKER = Path(__file__).resolve().parents[1] / 'helpers/study_worker.py'
NAME = 'triplet_filter_study'
SMALL = ('--records', '60', '--pairs', '2', '--seeds', '3')
ROWS = ('all', 'passed', 'clean', 'half_clean', 'half_mixed')


@pytest.fixture(scope='module')
def study(tmp_path_factory, repo_root):
    """Runs the study in a small project; gives what it ended with."""
    project = tmp_path_factory.mktemp('project')
    copy_small_project(project, 'benchmarks')
    leave_encoder(project)

    def run(*arguments, killed_at='', steps=2):
        (project / 'called.txt').unlink(missing_ok=True)
        words = [*SMALL, '--steps', steps, *arguments]
        done = subprocess.run(
            [
                sys.executable,
                WORKER,
                NAME,
                project,
                killed_at,
                *map(str, words),
            ],
            capture_output=True,
            text=True,
            env=dict(os.environ, PYTHONPATH=str(repo_root)),
        )
        called = project / 'called.txt'
        done.called = called.read_text() if called.exists() else ''
        return done

    run.project = project
    return run


@pytest.fixture(scope='module')
def place(study):
    """Folder of a study that was killed and went on."""
    done = study(killed_at='--judge composed')
    assert done.returncode == 9, done.stderr[-2000:]
    done = study()
    assert done.returncode == 0, done.stderr[-2000:]
    # Neither pairs nor the first training are made again.
    assert 'write_quadruples' not in done.called
    assert done.called.count('tools/train.py') == len(ROWS) - 1
    assert done.called.count('tools/test.py') == len(ROWS) - 1
    folder = study.project / 'work_dirs/triplet_filter_study'
    table = (folder / 'table.md').read_text()
    assert table.strip() in done.stdout
    return folder


def keys_of(path):
    return {triplet['pair'] for triplet in read_json(path)}


def test_rows_train_on_what_they_say(place):
    run = place / 'seed3/run'
    rows = list(StageFolder(run / 'render').read_all())
    faulty = {r['key'] for r in rows if r['truth']['fault']}
    assert len(rows) == 120
    assert 20 < len(faulty) < 80
    files = dict(all='everything', passed='assembled')
    found = {
        name: keys_of(run / files.get(name, name) / 'SynCPR.json')
        for name in ROWS
    }
    everything = found['all']
    assert found['clean'] == everything - faulty
    half = found['half_clean']
    assert half < found['clean']
    # Half of all clean pairs, less those of val.
    assert 0.4 < len(half) / len(found['clean']) < 0.6
    assert found['half_mixed'] == half | (everything & faulty)
    for name, keys in found.items():
        result = read_json(place / f'seed3/{name}/result.json')
        assert result['pairs'] == len(keys)
        assert result['faulty'] == len(keys & faulty)
        config = (place / f'seed3/{name}/study.py').read_text()
        assert f'{run}/' in config
        assert 'max_iters=2' in config
        assert 'seed=3' in config


def test_tables(place):
    text = (place / 'table.md').read_text()
    rows = {
        line.split(' | ')[0].strip('| '): line
        for line in text.splitlines()
        if line.startswith('|')
    }
    result = read_json(place / 'seed3/passed/result.json')
    assert (
        f'| {result["R@1"]:.2f} ± 0.00 |'
        in (rows['what the rule lets through'])
    )
    report = read_json(place / 'seed3/run/assembled/report.json')
    assert report['rule']['pairs'] == 120
    for name, found in report['planted_faults'].items():
        auc = found['auc']['identity.head']
        kept = f'| {name} | 3 | {found["number"]} | {found["kept"]} |'
        assert kept in text
        assert f' {auc:.3f} ± 0.000 |' in text
    assert re.search(r'R@1 that the filter wins: -?[\d.]+ ± 0.00 points', text)
    assert '--seeds 3 --steps 2 --records 60 --pairs 2`, commit' in text


def test_finished_rows_are_not_repeated(place, study):
    text = (place / 'table.md').read_text()
    done = study()
    assert done.returncode == 0
    assert done.called == ''
    assert (place / 'table.md').read_text() == text


def test_other_settings_are_refused(place, study):
    done = study(steps=3)
    assert done.returncode == 1
    assert 'was begun with other settings (steps: 2 there, 3 now)' in (
        done.stderr
    )
    assert 'Traceback' not in done.stderr
    facts = json.loads((place / 'stage.json').read_text())
    assert facts['settings']['steps'] == 2


def test_without_the_encoder(study, place):
    weights = next(study.project.glob('work_dirs/pretrain_toy_filtered/*.pth'))
    hidden = weights.rename(weights.with_suffix('.hidden'))
    done = study()
    hidden.rename(weights)
    assert done.returncode == 1
    assert 'is missing: run "make demo" first' in done.stderr
