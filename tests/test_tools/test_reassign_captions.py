"""The tool that moves captions to other images."""

import numpy as np
import pytest
from filtering_case import place, tool, whole  # noqa: F401

from mmtpr.filtering import load_scores, save_scores
from mmtpr.filtering.reassigning import load_reassignment


def test_captions_move(place, whole, tool, tmp_path, capsys):
    args = [place / 'config.py', place / 'model.pth', '--scores', whole]
    args += ['--num-workers', 0, '--max-rank', 10]
    args += ['--out', tmp_path / 'out.npz']
    tool('reassign_captions', args)
    made = load_reassignment(tmp_path / 'out.npz')
    scores = load_scores(whole)
    own = np.arange(len(scores))
    stay = scores.rank <= 10
    assert (made.image[stay] == own[stay]).all()
    assert (made.image[~stay] != own[~stay]).all()
    assert made.meta['data'] == scores.meta['data']
    assert made.meta['kept_by']['rule'] == dict(max_rank=10)
    taken = made.image[~stay & (made.image >= 0)]
    assert len(set(taken)) == len(taken) > 0
    counts = made.counts
    text = capsys.readouterr().out
    assert f'{counts["kept"]} stay, {counts["moved"]} captions move' in text
    with pytest.raises(SystemExit, match=r'out\.npz" exists already'):
        tool('reassign_captions', args)
    fit = [*args, '--min-fit', 2, '--overwrite']
    tool('reassign_captions', fit)
    assert load_reassignment(tmp_path / 'out.npz').counts['moved'] == 0


def test_what_is_refused(place, whole, tool, tmp_path):
    args = [place / 'config.py', place / 'model.pth', '--scores', whole]
    out = ['--out', tmp_path / 'out.npz']
    with pytest.raises(SystemExit, match='at least one of max_rank'):
        tool('reassign_captions', [*args, *out])
    with pytest.raises(SystemExit, match=r'must end in \.npz'):
        tool('reassign_captions', [*args, '--out', tmp_path / 'a.json'])
    with pytest.raises(SystemExit, match='keeps every pair'):
        tool('reassign_captions', [*args, *out, '--keep-ratio', 1])
    for name in ('fit', 'lead'):
        with pytest.raises(SystemExit, match='must be a finite number, got n'):
            tool(
                'reassign_captions',
                [*args, *out, '--keep-ratio', 0.5, f'--min-{name}', 'nan'],
            )
    scores = load_scores(whole)
    scores.meta['data']['fingerprint'] = 'f' * 32
    save_scores(tmp_path / 'other.npz', scores)
    args[-1] = tmp_path / 'other.npz'
    with pytest.raises(
        SystemExit, match=r'other\.npz" belong to other .* CUHKPEDES'
    ):
        tool('reassign_captions', [*args, *out, '--max-rank', 10])
    assert not (tmp_path / 'out.npz').exists()
