"""The study of ways to choose pairs on little data, killed and gone on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from toy_project import FEW, copy_small_project, shrink

from mmtpr.utils import read_json

WORKER = Path(__file__).resolve().parents[1] / 'helpers/study_worker.py'
NAME = 'toy_study'
SMALL = ('--seeds', 3, '--bank-size', 10, '--jobs', 1)
JOIN = 'tools/filtering/join_scores.py'
METHOD = ('--methods', 'wora')
CELLS = ('none', 'relevance', 'ccd', 'relevance_ccd')


@pytest.fixture(scope='module')
def study(tmp_path_factory, repo_root):
    """Runs the study in a small project; gives what it ended with."""
    pytest.importorskip('sklearn.mixture')
    project = tmp_path_factory.mktemp('project')
    copy_small_project(project, 'benchmarks')
    size = f"TOY_SIZE = '{FEW} --pretrain 60'"
    shrink(project / 'tools/demo.py', r"TOY_SIZE = '[^']*'", size)

    def run(*arguments, killed_at='', steps=2):
        (project / 'called.txt').unlink(missing_ok=True)
        numbers = '--pretrain-steps', 3, '--steps', steps
        words = map(str, [*SMALL, *numbers, *arguments])
        done = subprocess.run(
            [
                sys.executable,
                WORKER,
                'toy_study',
                project,
                killed_at,
                *map(str, words),
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


@pytest.fixture(scope='module')
def place(study):
    """Folder of a study that was killed and went on."""
    words = *METHOD, '--rates', 60, '--cells', *CELLS
    done = study(*words, killed_at='pretrain_ccd')
    assert done.returncode == 9, done.stderr[-2000:]
    done = study(*words)
    assert done.returncode == 0, done.stderr[-2000:]
    # Neither the first trainings nor the scores are made again.
    assert 'score_relevance' not in done.called
    assert 'pretrain_none --resume' not in done.called
    assert done.called.count('tools/train.py') == 2 + 2
    folder = study.project / 'work_dirs/toy_study'
    text = (folder / 'table.md').read_text()
    assert text.strip() in done.stdout
    return folder


def test_what_cells_train_on(place):
    seed = place / 'wrong60/seed3'
    configs = {
        cell: Config.fromfile(seed / f'pretrain_{cell}/study.py')
        for cell in CELLS
    }
    kinds = {}
    for cell, cfg in configs.items():
        node, found = cfg.train_dataloader.dataset, []
        while 'dataset' in node:
            found.append(node)
            node = node.dataset
        kinds[cell] = [n.type.removeprefix('mmtpr.') for n in found]
        assert node.data_root == str(place / 'wrong60/data/pretrain')
        assert cfg.train_cfg.max_iters == 3
        assert cfg.randomness.seed == 3
        assert cfg.model == configs['none'].model
        if 'RelevanceFilteredDataset' in kinds[cell]:
            assert found[-1].keep_ratio == pytest.approx(0.58)
            assert found[-1].scores == str(seed / 'relevance.npz')
    assert kinds == dict(
        none=[],
        relevance=['RelevanceFilteredDataset'],
        ccd=['SelectedPairsDataset'],
        relevance_ccd=['SelectedPairsDataset', 'RelevanceFilteredDataset'],
    )
    hook = configs['ccd'].custom_hooks[0]
    assert (hook.start, hook.interval) == (1, 1)
    selector = configs['ccd'].train_dataloader.dataset.selector
    assert selector.max_iter == 100
    tuned = Config.fromfile(seed / 'ccd_wora/study.py')
    weights = tuned.model.encoder.module.pretrained
    assert weights == str(seed / 'pretrain_ccd/iter_3.pth')
    assert tuned.train_dataloader.dataset.data_root == str(
        place / 'wrong60/data/target'
    )


def test_counts_of_wrong_pairs(place):
    seed = place / 'wrong60/seed3'
    kinds = read_json(place / 'wrong60/data/pretrain/truth.json')['kinds']
    counts = {c: read_json(seed / f'pretrain_{c}/pairs.json') for c in CELLS}
    wrong = sum(kind > 0 for kind in kinds)
    assert counts['none'] == dict(pairs=60, wrong=wrong)
    assert wrong == 36
    assert counts['relevance']['pairs'] == 35  # 0.58 of them
    for cell, whole in (('ccd', 60), ('relevance_ccd', 35)):
        state = torch.load(
            seed / f'pretrain_{cell}/iter_3.pth', weights_only=True
        )
        classes = state['pair_selection']['classes']
        assert len(classes) == whole
        pairs = (classes == 2).sum() + 0.5 * (classes == 1).sum()
        assert counts[cell]['pairs'] == pairs
        assert counts[cell]['wrong'] <= min(pairs, wrong)


def test_table(place):
    text = (place / 'table.md').read_text()
    assert '"pretrain_steps": 3' in text
    rows = [
        line.split(' | ') for line in text.splitlines() if '| 60 %' in line
    ]
    for row, cell in zip(rows, CELLS, strict=True):
        folder = place / f'wrong60/seed3/{cell}_wora'
        tested = read_json(folder / 'test.json')
        assert row[6] == f'{tested["R@1"]:.2f} ± 0.00'
        assert int(row[5].replace(',', '')) == 635_672
    assert rows[0][1:4] == ['all pairs', '60', '60.0 %']


def test_finished_parts_are_not_repeated(place, study):
    text = (place / 'table.md').read_text()
    done = study(*METHOD, '--rates', 60, '--cells', *CELLS)
    assert done.returncode == 0
    assert [*done.called.split()][:1] == ['tools/synthesis/write_toy_data.py']
    assert done.called.count('\n') == 1
    assert (place / 'table.md').read_text() == text


def test_other_settings_are_refused(place, study):
    done = study('--rates', 60, '--cells', 'ccd', steps=4)
    assert done.returncode == 1
    assert 'was begun with other settings (steps: 2 there, 4 now)' in (
        done.stderr
    )
    assert 'Traceback' not in done.stderr
    assert done.called == ''


def test_joined(place, study):
    tool = study.project / JOIN
    words = *METHOD, '--rates', 60, '--cells', 'joined'
    hidden = (
        tool.rename(tool.with_suffix('.hidden')) if tool.exists() else None
    )
    done = study(*words)
    assert done.returncode == 1
    assert f'The cell "joined" needs {JOIN}' in done.stderr
    assert 'Traceback' not in done.stderr
    if hidden is None:
        pytest.skip('there is no tool that joins scores')
    hidden.rename(tool)
    done = study(*words)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.called.count('score_relevance') == 1
    assert done.called.count('join_scores') == 1
    cfg = Config.fromfile(place / 'wrong60/seed3/pretrain_joined/study.py')
    assert cfg.train_dataloader.dataset.scores.endswith('joined.npz')
    assert '| joined scores | 35 |' in (place / 'table.md').read_text()
