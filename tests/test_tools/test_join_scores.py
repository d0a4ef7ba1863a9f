"""The tool that joins score files."""

import json
from pathlib import Path

import numpy as np
import pytest
from filtering_case import tool  # noqa: F401
from joined_case import scores_of, two_views

from mmtpr.filtering import join_scores, load_scores, save_scores


@pytest.fixture
def files(tmp_path):
    found, wrong = two_views()
    paths = []
    for name, scores in found.items():
        paths.append(tmp_path / name)
        save_scores(paths[-1], scores)
    truth = dict(names=['right', 'other'], kinds=wrong.astype(int).tolist())
    (tmp_path / 'truth.json').write_text(json.dumps(truth))
    return paths


def test_mean_with_the_truth(files, tool, tmp_path, capsys):
    truth = tmp_path / 'truth.json'
    out = tmp_path / 'out.npz'
    tool('join_scores', [*files, '--out', out, '--truth', truth])
    text = capsys.readouterr().out
    assert 'Wrote the scores of 400 pairs, joined from 2 files' in text
    assert f'| {files[0]} | 0.' in text
    assert '| joined, mean | 0.9' in text
    wanted = join_scores(
        dict(zip('ab', map(load_scores, files), strict=True)), 'mean'
    )
    assert (load_scores(out).rank == wanted.rank).all()


def test_logistic_by_labels_of_some(files, tool, tmp_path, capsys):
    pytest.importorskip('sklearn', reason='needs the extra [filtering]')
    truth = tmp_path / 'truth.json'
    args = [*files, '--method', 'logistic', '--labels', truth]
    args += ['--truth', truth, '--out', tmp_path / 'out.npz']
    with pytest.raises(SystemExit, match='All pairs of --truth are labels'):
        tool('join_scores', args)
    tool('join_scores', [*args, '--num-labels', 100, '--overwrite'])
    text = capsys.readouterr().out
    joined = load_scores(tmp_path / 'out.npz')
    labels = joined.meta['scorer']['join']['model']['labels']
    assert sum(labels.values()) == 100
    assert f'Fitted on {labels["right"]} right' in text
    assert f'{files[0]}: log rank | ' in text
    kinds = np.array(json.loads(truth.read_text())['kinds'])
    assert f'other ({kinds.sum() - labels["wrong"]})' in text


def test_a_file_of_other_data(files, tool, tmp_path):
    other = tmp_path / 'other.npz'
    save_scores(other, scores_of([1, 2, 3], fingerprint='f' * 32))
    args = [*files, other, '--out', tmp_path / 'out.npz']
    with pytest.raises(SystemExit, match=r'other\.npz" are of other data'):
        tool('join_scores', args)
    assert not (tmp_path / 'out.npz').exists()


def test_what_is_refused(files, tool, tmp_path, capsys):
    out = ['--out', tmp_path / 'out.npz']
    with pytest.raises(SystemExit, match='is given twice'):
        tool('join_scores', [files[0], files[0], *out])
    path = Path(files[0])
    other = path.parent / '..' / path.parent.name / path.name
    with pytest.raises(SystemExit, match='is given twice'):
        tool('join_scores', [files[0], other, *out])
    with pytest.raises(SystemExit, match=r'must end in \.npz'):
        tool('join_scores', [*files, '--out', tmp_path / 'out.csv'])
    with pytest.raises(SystemExit, match='is read and would be written over'):
        tool('join_scores', [*files, '--out', files[0], '--overwrite'])
    with pytest.raises(SystemExit, match='needs two score files or more'):
        tool('join_scores', [files[0], *out])
    with pytest.raises(SystemExit):
        tool('join_scores', [*files, *out, '--method', 'logistic'])
    assert '--labels need each other' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        tool('join_scores', [*files, *out, '--num-labels', 10])
    assert '--num-labels needs --labels' in capsys.readouterr().err
