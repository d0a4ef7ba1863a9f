"""The ablation of FAFA on little data: every row fits, runs, and is kept."""

from pathlib import Path

import pytest
from mmengine.config import Config
from small_study import SmallStudy
from toy_project import copy_small_project, leave_composed, leave_encoder

from mmtpr.registry import MODELS
from mmtpr.utils import read_json

ENCODER = Path('work_dirs/pretrain_toy_filtered/epoch_1.pth')


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


def test_rows_are_trained_kept_and_not_mixed_with_others(tmp_path):
    copy_small_project(tmp_path, 'benchmarks')
    leave_encoder(tmp_path)
    leave_composed(tmp_path)
    words = '--seeds', 3, '--variants', 'all', 'cpl'
    study = SmallStudy('fafa_ablation', tmp_path, words)
    two = '--steps', 2
    done, again, other, absent = study.run(
        two, two, ('--steps', 3), (*two, ENCODER)
    )
    assert done.returncode == 0, done.stderr[-2000:]
    folder = tmp_path / 'work_dirs/fafa_ablation'
    table = (folder / 'table.md').read_text()
    result = read_json(folder / 'seed3/cpl/test.json')
    row = f'| FDA + FD + MFR + CPL | {result["R@1"]:.2f} ± 0.00 |'
    assert row in table
    for name in ('all', 'cpl'):
        config = (folder / f'seed3/{name}/study.py').read_text()
        assert ('cpl_weight=1.0' in config) == (name == 'cpl')
    assert again.called == ''
    assert other.returncode == 1
    assert not other.called
    assert 'begun with other settings (steps: 2 there, 3 now)' in other.stderr
    assert 'Traceback' not in other.stderr
    assert absent.returncode == 1
    assert 'make demo' in absent.stderr
