"""The study of ways to choose pairs on little data, killed and gone on."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from small_study import SmallStudy
from toy_project import FEW, copy_small_project, shrink

from mmtpr.utils import read_json

JOIN = Path('tools/filtering/join_scores.py')
CELLS = ('none', 'relevance', 'joined', 'ccd', 'relevance_ccd')
WHOLE = ('--methods', 'wora', '--rates', 60, '--cells', *CELLS)


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    """The study on little data, by name of what was asked."""
    pytest.importorskip('sklearn.mixture')
    project = tmp_path_factory.mktemp('project')
    copy_small_project(project, 'benchmarks')
    size = f"TOY_SIZE = '{FEW} --pretrain 60'"
    shrink(project / 'tools/demo.py', r"TOY_SIZE = '[^']*'", size)
    numbers = '--pretrain-steps', 3, '--seeds', 3, '--bank-size', 10
    study = SmallStudy('toy_study', project, (*numbers, '--jobs', 1))
    two = '--steps', 2
    study.run((*WHOLE, *two), killed_at='pretrain_ccd')
    names = 'gone_on', 'again', 'other_settings', 'without_joins'
    done = study.run(
        (*WHOLE, *two),
        (*WHOLE, *two),
        (*WHOLE, '--steps', 4),
        (*WHOLE, *two, JOIN),
    )
    folder = project / 'work_dirs/toy_study'
    return dict(zip(names, done, strict=True), folder=folder)


@pytest.fixture(scope='module')
def place(runs):
    """Folder of the study."""
    done = runs['gone_on']
    assert done.returncode == 0, done.stderr[-2000:]
    text = (runs['folder'] / 'table.md').read_text()
    assert text.strip() in done.stdout
    return runs['folder']


def test_what_was_done_is_not_repeated(runs, place):
    called = runs['gone_on'].called
    # Before it was killed: three pre-trainings, their tunings, and one in
    # full, whose scores are joined.
    assert 'score_relevance' not in called
    assert 'pretrain_none --resume' not in called
    assert called.count('tools/train.py') == 2 + 2
    again = runs['again']
    assert again.returncode == 0
    assert again.called.split()[0] == 'tools/synthesis/write_toy_data.py'
    assert '\n' not in again.called
    assert (place / 'table.md').read_text().strip() in again.stdout


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
            name = 'joined' if cell == 'joined' else 'relevance'
            assert found[-1].scores == str(seed / f'{name}.npz')
    assert kinds == dict(
        none=[],
        relevance=['RelevanceFilteredDataset'],
        joined=['RelevanceFilteredDataset'],
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


def test_joined(place):
    seed = place / 'wrong60/seed3'
    cfg = Config.fromfile(seed / 'pretrain_joined/study.py')
    assert cfg.train_dataloader.dataset.scores == str(seed / 'joined.npz')
    assert '| joined scores | 35 |' in (place / 'table.md').read_text()


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        (
            'other_settings',
            'was begun with other settings (steps: 2 there, 4 now)',
        ),
        ('without_joins', f'The cell "joined" needs {JOIN}'),
    ],
)
def test_what_is_refused(runs, name, message):
    done = runs[name]
    assert done.returncode == 1
    assert message in done.stderr
    assert 'Traceback' not in done.stderr
    assert done.called == ''
