"""The study of filtered triplets on little data, killed and gone on."""

import json
import re
from pathlib import Path

import pytest
from small_study import SmallStudy
from toy_project import copy_small_project, leave_encoder

from mmtpr.data_engine import StageFolder
from mmtpr.utils import read_json

ROWS = ('all', 'passed', 'clean', 'half_clean', 'half_mixed')
ENCODER = Path('work_dirs/pretrain_toy_filtered/epoch_1.pth')


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    """The study on little data, by name of what was asked."""
    project = tmp_path_factory.mktemp('project')
    copy_small_project(project, 'benchmarks')
    leave_encoder(project)
    numbers = '--records', 60, '--pairs', 2, '--seeds', 3
    numbers += '--judge-steps', 2
    study = SmallStudy('triplet_filter_study', project, numbers)
    two = '--steps', 2
    study.run(two, killed_at='--judge composed')
    names = 'gone_on', 'again', 'other_settings', 'without_encoder'
    done = study.run(two, two, ('--steps', 3), (*two, ENCODER))
    folder = project / 'work_dirs/triplet_filter_study'
    return dict(zip(names, done, strict=True), folder=folder)


@pytest.fixture(scope='module')
def place(runs):
    """Folder of the study."""
    done = runs['gone_on']
    assert done.returncode == 0, done.stderr[-2000:]
    table = (runs['folder'] / 'table.md').read_text()
    assert table.strip() in done.stdout
    return runs['folder']


def test_what_was_done_is_not_repeated(runs, place):
    called = runs['gone_on'].called
    # Neither pairs nor the judge's training.
    assert 'write_quadruples' not in called
    assert called.count('tools/train.py') == len(ROWS)
    assert called.count('tools/test.py') == len(ROWS)
    again = runs['again']
    assert again.returncode == 0
    assert again.called == ''
    assert (place / 'table.md').read_text().strip() in again.stdout


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
    assert '--seeds 3 --steps 2 --judge-steps 2 --records 60' in text


def test_other_settings_are_refused(runs, place):
    done = runs['other_settings']
    assert done.returncode == 1
    assert 'was begun with other settings (steps: 2 there, 3 now)' in (
        done.stderr
    )
    assert 'Traceback' not in done.stderr
    facts = json.loads((place / 'stage.json').read_text())
    assert facts['settings']['steps'] == 2


def test_without_the_encoder(runs):
    done = runs['without_encoder']
    assert done.returncode == 1
    assert 'is missing: run "make demo" first' in done.stderr
