"""The benchmark of joined filters, its trainings pretended."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from joined_case import scores_of

from mmtpr.filtering import load_scores, save_scores
from mmtpr.filtering.reassigning import Reassignment, save_reassignment
from mmtpr.synthesis.layouts import PAIR_KINDS, caption_owners, pair_kinds

PAIRS = 300


@pytest.fixture
def benchmark(repo_root, monkeypatch, tmp_path):
    """The benchmark on pretended data, and the tools that it ran."""
    monkeypatch.syspath_prepend(str(repo_root / 'benchmarks'))
    path = repo_root / 'benchmarks/joined_filters.py'
    spec = importlib.util.spec_from_file_location('joined_filters', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    data = tmp_path / 'toy'
    (data / 'pretrain').mkdir(parents=True)
    rng = np.random.default_rng([0, 2])
    kinds = pair_kinds(PAIRS, 0.3, rng)
    owners = caption_owners(kinds, PAIRS, rng)
    truth = dict(names=PAIR_KINDS, kinds=kinds)
    (data / 'pretrain/truth.json').write_text(json.dumps(truth))
    settings = dict(seed=0, wrong=0.3, pretrain=PAIRS)
    (data / 'settings.json').write_text(json.dumps(settings))
    runs = sys.modules['joined_filter_runs']
    monkeypatch.setattr(runs, 'DATA', data)
    monkeypatch.setattr(runs, 'TRUTH', data / 'pretrain/truth.json')
    calls = []

    def train(cfg, folder):
        if not (folder / 'done').exists():
            calls.append(f'train {folder.name}')
            folder.mkdir(parents=True)
            (folder / 'done').touch()
            (folder / 'last_checkpoint').write_text(f'{folder}/last.pth')

    def run(tool, *args, log):
        args = [str(arg) for arg in args]
        out = Path(args[args.index('--out') + 1])
        calls.append(f'{Path(tool).stem} {out.stem}')
        wrong = np.array(kinds) != 0
        if out.stem.startswith('reassigned'):
            image = np.where(wrong, -1, np.arange(PAIRS))
            another = np.flatnonzero(np.array(kinds) == 1)
            image[another] = np.array(owners)[another]
            image[another[0]] = another[1]  # of somebody else
            data = dict(fingerprint='a', name='X', length=PAIRS)
            meta = dict(version=1, data=data)
            save_reassignment(out, Reassignment(image, meta))
            return
        noise = np.random.default_rng(sum(map(ord, out.stem)))
        score = 1.0 - wrong + noise.normal(size=PAIRS)
        save_scores(out, scores_of(1 + np.argsort(np.argsort(-score)), score))

    monkeypatch.setattr(runs, 'train', train)
    monkeypatch.setattr(runs, 'run', run)
    monkeypatch.setattr(sys.modules['study_runs'], 'run', run)

    def call(*args):
        work = ['--work-dir', str(tmp_path / 'work')]
        monkeypatch.setattr(sys, 'argv', [str(path), *work, *map(str, args)])
        calls.clear()
        module.main()
        return calls.copy()

    return call, tmp_path / 'work'


def rows_of(work):
    text = (work / 'table.md').read_text()
    cells = [line.split(' | ') for line in text.splitlines() if '| ' in line]
    return text, {row[0].strip('| '): row[1:] for row in cells}


def test_scores_joins_and_a_table(benchmark):
    call, work = benchmark
    args = ['--seeds', 0, 1, '--joins', 'mean', 'change', '--num-labels', 20]
    calls = call(*args)
    assert calls.count('train noisy') == calls.count('train clean') == 2
    scored = [c.split()[1] for c in calls if c.startswith('score')]
    assert sorted(set(scored)) == [
        *('clean', 'noisy'),
        *('share_020', 'share_040', 'share_060', 'share_080'),
    ]
    text, rows = rows_of(work)
    assert rows[''][:3] == ['another', 'three', 'one']
    joined = [
        float(x) for x in rows['joined: mean'][-1].strip(' |').split(',')
    ]
    noisy = [float(x) for x in rows['noisy'][-1].strip(' |').split(',')]
    assert len(joined) == 2
    assert joined > noisy
    assert load_scores(work / 'seed1/joined_mean.npz').meta['bank']['size']
    assert 'Seed 1, time of scoring: ' in text
    # All that is finished stays.
    assert call(*args) == []


def test_scorers_that_no_join_needs_are_left_out(benchmark):
    call, _ = benchmark
    calls = call('--seeds', 0, '--joins', 'mean', '--num-labels', 20)
    assert 'score_relevance share_020' not in calls


def test_moved_captions_are_told_right_from_wrong(benchmark):
    call, work = benchmark
    args = ['--seeds', 0, '--joins', 'mean', '--num-labels', 20]
    assert 'reassign_captions reassigned_clean' in call(*args, '--reassign')
    text, _ = rows_of(work)
    assert '210 pairs stay, 30 captions move, 60 are dropped' in text
    assert 'Seed 0, by clean: ' in text
    assert 'Of those moved 29 of 30 (96.7%) came to the person' in text
    assert 'those that had been with another 29 of 30 (96.7%).' in text
    # Other scores decide: the captions move anew.
    args[3] = 'logistic'
    assert call(*args, '--reassign')[-1] == (
        'reassign_captions reassigned_logistic'
    )
    runs = sys.modules['joined_filter_runs']
    assert runs.share(np.zeros(0, dtype=bool)) == '0 of 0'


def test_a_work_dir_of_other_settings_is_refused(benchmark):
    call, _ = benchmark
    args = ['--seeds', 0, '--joins', 'mean', '--num-labels', 20]
    call(*args)
    with pytest.raises(SystemExit, match='scorer_steps: 1122 there, 9 now'):
        call(*args, '--scorer-steps', 9)
    runs = sys.modules['joined_filter_runs']
    settings = json.loads((runs.DATA / 'settings.json').read_text())
    settings['seed'] = 7
    (runs.DATA / 'settings.json').write_text(json.dumps(settings))
    with pytest.raises(SystemExit, match=r'data: .* there, .* now'):
        call(*args)


@pytest.mark.parametrize(
    ('number', 'joins', 'told'),
    [
        (5000, 'mean', '5000 labels are to be drawn, but there are 300'),
        (5, 'logistic', 'Of the labelled pairs [0-4] are '),
    ],
)
def test_labels_are_checked_before_anything_is_trained(
    benchmark, number, joins, told
):
    call, work = benchmark
    with pytest.raises(SystemExit, match=told):
        call('--seeds', 0, '--joins', joins, '--num-labels', number)
    assert not [*work.glob('seed*')]
    # Nor is the work dir bound to what was refused.
    call('--seeds', 0, '--joins', joins, '--num-labels', 20)


def test_without_data_it_says_how_to_write_them(benchmark, monkeypatch):
    call, work = benchmark
    runs = sys.modules['joined_filter_runs']
    monkeypatch.setattr(runs, 'TRUTH', work / 'none.json')
    with pytest.raises(SystemExit, match=r'no toy data in .* make demo'):
        call('--seeds', 0)


def test_seeds_of_trainings_may_share_the_scores_of_one(
    benchmark, monkeypatch
):
    call, work = benchmark
    made = []

    def trained(args, seed, name, scores):
        made.append((seed, name, scores.parent.name))
        return {'R@1': 80.0 + seed, 'R@5': 90.0, 'mAP': 70.0}

    runs = sys.modules['joined_filter_runs']
    monkeypatch.setattr(runs, 'trained', trained)
    args = ['--seeds', 0, 1, '--joins', 'mean', '--num-labels', 20]
    calls = call(*args, '--scorer-seed', 0, '--train', 'noisy', 'mean')
    assert calls.count('train noisy') == calls.count('train clean') == 1
    assert made == [
        (seed, name, 'seed0')
        for seed in (0, 1)
        for name in ('noisy', 'joined_mean')
    ]
    text, _ = rows_of(work)
    assert text.count('time of scoring') == 1
    assert '| joined: mean | 80.50 ± 0.71 | 70.00 ± 0.00 |' in text
    assert ', ' not in next(
        line for line in text.splitlines() if line.startswith('| clean |')
    )
    made.clear()
    call(*args, '--scorer-seed', 0, '--train')  # without names: all
    names = [name for seed, name, _ in made if seed == 1]
    assert names == ['noisy', 'clean', 'joined_mean']


def test_runs_of_other_scores_are_not_taken_for_these(benchmark):
    call, _ = benchmark
    args = ['--seeds', 0, '--joins', 'mean', '--num-labels', 20]
    call(*args)
    with pytest.raises(SystemExit, match='scorer_seed: None there, 1 now'):
        call(*args, '--scorer-seed', 1)
    with pytest.raises(SystemExit, match='num_labels: 20 there, 30 now'):
        call(*args[:-1], 30)


def test_a_filter_to_train_on_has_to_be_joined(benchmark, capsys):
    call, _ = benchmark
    with pytest.raises(SystemExit):
        call('--seeds', 0, '--joins', 'mean', '--train', 'worst')
    assert '--train worst: not in --joins' in capsys.readouterr().err
