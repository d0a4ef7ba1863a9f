"""The ablation of FAFA on little data: every row fits, runs, and is kept."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config
from toy_project import FEW, copy_small_project, leave_encoder

from mmtpr.registry import MODELS
from mmtpr.utils import read_json

WORKER = Path(__file__).resolve().parents[1] / 'helpers/study_worker.py'


@pytest.fixture
def ablation(repo_root, monkeypatch):
    monkeypatch.syspath_prepend(str(repo_root / 'benchmarks'))
    import fafa_ablation

    return fafa_ablation


def test_every_row_is_a_head_whose_tokens_count_in_evaluation(ablation):
    for title, changes in ablation.VARIANTS.values():
        cfg = Config.fromfile(ablation.TOY / 'fafa_toy.py')
        cfg = ablation.vary(cfg, changes)
        head = MODELS.build({'raw_dim': 8, **cfg.model.head})
        assert all(getattr(head, k) == v for k, v in changes.items()), title
        for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
            assert evaluator.topk_tokens == head.topk_tokens
    heads = [changes for _, changes in ablation.VARIANTS.values()]
    assert dict(topk_tokens=2) in heads
    assert dict(cpl_weight=1.0) in heads


@pytest.fixture(scope='module')
def study(tmp_path_factory, repo_root):
    """Runs the ablation in a small project."""
    project = tmp_path_factory.mktemp('project')
    copy_small_project(project, 'benchmarks')
    leave_encoder(project)
    writer = 'tools/synthesis/write_composed_toy_data.py'
    command = [sys.executable, writer, '--out', 'data/toy_composed']
    subprocess.run(
        [*command, *FEW.split()], cwd=project, check=True, capture_output=True
    )

    def run(steps=2, variants=('all', 'cpl')):
        (project / 'called.txt').unlink(missing_ok=True)
        words = ['--seeds', '3', '--steps', str(steps)]
        words += ['--variants', *variants]
        done = subprocess.run(
            [sys.executable, WORKER, 'fafa_ablation', project, '', *words],
            capture_output=True,
            text=True,
            env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
        )
        called = project / 'called.txt'
        done.called = called.read_text() if called.exists() else ''
        return done

    run.project = project
    return run


def test_rows_are_trained_kept_and_not_mixed_with_others(study):
    done = study()
    assert done.returncode == 0, done.stderr[-2000:]
    folder = study.project / 'work_dirs/fafa_ablation'
    table = (folder / 'table.md').read_text()
    result = read_json(folder / 'seed3/cpl/test.json')
    row = f'| FDA + FD + MFR + CPL | {result["R@1"]:.2f} ± 0.00 |'
    assert row in table
    for name in ('all', 'cpl'):
        config = (folder / f'seed3/{name}/study.py').read_text()
        assert ('cpl_weight=1.0' in config) == (name == 'cpl')
    assert study().called == ''
    other = study(steps=3)
    assert other.returncode == 1
    assert not other.called
    assert 'begun with other settings (steps: 2 there, 3 now)' in other.stderr
    assert 'Traceback' not in other.stderr
    weights = next(study.project.glob('work_dirs/pretrain_toy_filtered/*.pth'))
    weights.rename(weights.with_suffix('.hidden'))
    absent = study()
    assert absent.returncode == 1
    assert 'make demo' in absent.stderr
