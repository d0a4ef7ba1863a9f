"""The report on relevance scores."""

import json

import cv2
import numpy as np
import pytest
from filtering_case import (  # noqa: F401
    PAIRS,
    arguments,
    command,
    environment,
    place,
    tool,
    whole,
)

from mmtpr.filtering import load_scores


def test_report(place, whole, tool, tmp_path, capsys):
    scores = load_scores(whole)
    kinds = np.where(scores.rank > 15, 2, 0)
    (tmp_path / 'truth.json').write_text(
        json.dumps(dict(names=['right', 'x', 'wrong'], kinds=kinds.tolist()))
    )
    args = [whole, '--config', place / 'config.py', '--max-rank', 5, 15]
    args += ['--truth', tmp_path / 'truth.json', '--out', tmp_path / 'out']
    tool('report_relevance', args)
    found = json.loads((tmp_path / 'out/report.json').read_text())
    rows = {row['max_rank']: row for row in found['thresholds']}
    assert rows[5]['kept'] == (scores.rank <= 5).sum()
    assert rows[15]['dropped'] == (scores.rank > 15).sum()
    assert rows[15]['wrong_kept'] == 0
    assert found['auc']['wrong']['rank'] == 1.0
    text = capsys.readouterr().out
    assert f'| 5 | {rows[5]["kept"]} | {rows[5]["dropped"]} |' in text
    assert '| wrong |' in text
    for name in ('histogram.png', 'pairs.png'):
        image = cv2.imread(str(tmp_path / 'out' / name))
        assert image.shape[1] > 800
        assert image.std() > 10


def test_report_of_other_data(place, whole, tool, tmp_path):
    args = [whole, '--config', place / 'config.py', '--dataset']
    with pytest.raises(SystemExit, match='no "nothing"'):
        tool('report_relevance', [*args, 'nothing'])
    option = 'train_dataloader.dataset.dataset.indices=100'
    args = [*args, 'train_dataloader.dataset', '--cfg-options', option]
    with pytest.raises(
        SystemExit, match=r'CUHKPEDES with 120 pairs .*, but .* with 100 pairs'
    ):
        tool('report_relevance', [*args, '--out', tmp_path])


def test_a_report_that_is_there_stays(place, whole, tool, tmp_path):
    args = [whole, '--max-rank', 5, '--out', tmp_path / 'out']
    tool('report_relevance', args)
    file = tmp_path / 'out/report.json'
    file.write_text('mine')
    with pytest.raises(SystemExit, match=r'report.json" exists already'):
        tool('report_relevance', args)
    assert file.read_text() == 'mine'
    tool('report_relevance', [*args, '--overwrite'])
    assert json.loads(file.read_text())['thresholds']


@pytest.mark.parametrize(
    ('option', 'value'),
    [
        ('--dataset', 'val_dataloader.dataset'),
        ('--cfg-options', 'a=1'),
        ('--image-key', 'path'),
        ('--caption-key', 'text'),
    ],
)
def test_options_that_need_a_config(option, value, whole, tool, capsys):
    with pytest.raises(SystemExit):
        tool('report_relevance', [whole, option, value])
    assert f'{option} needs --config' in capsys.readouterr().err


def test_a_threshold_above_the_bank(whole, tool, tmp_path):
    size = load_scores(whole).meta['bank']['size']
    args = [whole, '--out', tmp_path / 'out', '--max-rank', 1]
    with pytest.raises(SystemExit, match=f'{size + 1} is above {size}, the'):
        tool('report_relevance', [*args, size + 1])
    assert not (tmp_path / 'out').exists()


def test_truth_without_wrong_pairs(whole, tool, tmp_path):
    truth = tmp_path / 'truth.json'
    truth.write_text(json.dumps([0] * len(load_scores(whole))))
    args = [whole, '--out', tmp_path / 'out', '--truth', truth]
    with pytest.raises(SystemExit, match=r'truth\.json": An AUC needs good'):
        tool('report_relevance', args)
