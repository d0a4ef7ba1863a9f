import json

import numpy as np
import pytest

from mmtpr.filtering.report import (
    auc_by_kind,
    default_thresholds,
    load_truth,
    roc_auc,
    threshold_counts,
)
from mmtpr.filtering.scores import RelevanceScores


def test_auc_by_counting_couples():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 20, 300).astype(float)  # many ties
    bad = rng.random(300) < 0.3
    couples = scores[~bad][:, None] - scores[bad]
    expected = ((couples > 0) + 0.5 * (couples == 0)).mean()
    assert roc_auc(scores, bad) == pytest.approx(expected, abs=1e-12)


def test_auc_of_plain_cases():
    bad = np.array([True, False, False])
    assert roc_auc([0, 1, 2], bad) == 1
    assert roc_auc([2, 1, 0], bad) == 0
    assert roc_auc([1, 1, 1], bad) == 0.5
    assert roc_auc([-np.inf, 1, 1], bad) == 1


@pytest.mark.parametrize(
    ('scores', 'bad', 'message'),
    [
        ([1, 2], [False, False], 'needs good and bad pairs, got 2 and 0'),
        ([1, 2], [True, True], 'got 0 and 2'),
        ([1, np.nan], [True, False], 'NaN'),
        ([1, 2, 3], [True, False], 'same length'),
    ],
)
def test_auc_without_meaning(scores, bad, message):
    with pytest.raises(ValueError, match=message):
        roc_auc(scores, bad)


SCORES = RelevanceScores([1, 2, 8, 3, 9], [0.9, 0.8, 0.3, 0.35, 0.1])
KINDS = np.array([0, 0, 1, 2, 1])


def test_auc_by_kind():
    table = auc_by_kind(SCORES, KINDS, ['right', 'a', 'b', 'absent'])
    assert list(table) == ['a', 'b', 'all']
    assert table['a'] == dict(pairs=2, rank=1.0, score=1.0)
    assert table['all']['pairs'] == 3
    flipped = RelevanceScores(SCORES.rank[::-1], SCORES.score[::-1])
    assert auc_by_kind(flipped, KINDS, ['right', 'a', 'b'])['b']['rank'] == 0
    assert (
        auc_by_kind(flipped, KINDS, ['right', 'a', 'b'])['a']['rank'] == 0.25
    )


def test_threshold_counts():
    rows = threshold_counts(SCORES, [1, 3, 100], KINDS)
    assert [row['kept'] for row in rows] == [1, 3, 5]
    assert [row['dropped'] for row in rows] == [4, 2, 0]
    assert rows[1]['kept_ratio'] == 0.6
    assert rows[1]['wrong_before'] == 0.6
    assert rows[1]['wrong_kept'] == pytest.approx(1 / 3)
    assert 'wrong_kept' not in threshold_counts(SCORES, [1])[0]


def test_default_thresholds():
    assert default_thresholds(120) == [1, 2, 5, 10, 20, 50, 100]


@pytest.mark.parametrize(
    'content',
    [
        [0, 2, 1],
        [dict(kind=0), dict(kind=2), dict(kind=1)],
        dict(kinds=[0, 2, 1]),
        dict(kind=[0, 2, 1], names=['right', 'x', 'y']),
    ],
)
def test_truth_files(tmp_path, content):
    path = tmp_path / 'truth.json'
    path.write_text(json.dumps(content))
    kinds, names = load_truth(path, 3)
    assert kinds.tolist() == [0, 2, 1]
    assert len(names) == 3
    assert names[0] == 'right'


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ([0, 1], 'is about 2 pairs, the scores are about 3'),
        ([dict(x=1)] * 3, 'holds no kinds'),
        ([0, 0.5, 1], r'the kind 0\.5 of pair 1; kinds are whole numbers'),
        ([0, 1, '1'], "the kind '1' of pair 2"),
        (dict(x=1), 'holds no kinds'),
        (['a', 'b', 'c'], 'holds no kinds'),
        (dict(kinds=[0, 3, 0], names=['right', 'x']), 'kinds up to 3 and 2'),
    ],
)
def test_truth_files_of_another_kind(tmp_path, content, message):
    path = tmp_path / 'truth.json'
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        load_truth(path, 3)
