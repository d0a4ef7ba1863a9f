"""Joining score files of one dataset."""

import json

import numpy as np
import pytest
from joined_case import scores_of, two_views

from mmtpr.filtering import (
    join_scores,
    keep_mask,
    load_scores,
    positions,
    save_scores,
)
from mmtpr.filtering.joining import check_same_data
from mmtpr.filtering.report import auc_by_kind, auc_rows, roc_auc
from mmtpr.filtering.scores import RelevanceScores


def test_positions_by_rank_then_score_and_equal_pairs_share():
    scores = scores_of([2, 1, 1, 9, 2], [0.5, 0.1, 0.8, -np.inf, 0.5])
    assert positions(scores).tolist() == [0.625, 0.25, 0.0, 1.0, 0.625]


def test_positions_of_one_pair_and_of_none_that_is_readable():
    assert positions(scores_of([3])).tolist() == [0.0]
    assert positions(scores_of([3, 3], [-np.inf] * 2)).tolist() == [1.0, 1.0]


def test_mean_worst_and_change():
    files = dict(a=scores_of([1, 2, 3]), b=scores_of([1, 9, 5]))
    assert join_scores(files, 'mean').score.tolist() == [1.0, 0.25, 0.25]
    assert join_scores(files, 'worst').score.tolist() == [1.0, 0.0, 0.0]
    change = join_scores(files, 'change')
    np.testing.assert_allclose(change.score, [0, -0.25, -0.25])


def test_ranks_count_pairs_and_ties_count_against():
    files = dict(a=scores_of([1, 2, 3]), b=scores_of([1, 9, 5]))
    joined = join_scores(files, 'mean')
    assert joined.rank.tolist() == [1, 3, 3]
    assert joined.meta['bank']['size'] == 2


def test_a_share_of_the_worst_is_the_and_of_equal_shares():
    files, _ = two_views()
    joined = join_scores(files, 'worst')
    both = np.logical_and.reduce(
        [positions(scores) <= 0.6 for scores in files.values()]
    )
    best = keep_mask(joined.rank, joined.score, min_score=0.4)
    assert 0 < both.sum() < len(both)
    assert (best == both).all()


def test_the_join_beats_each_and_the_order_of_files_is_nothing():
    files, wrong = two_views()
    joined = join_scores(files, 'mean')
    single = max(roc_auc(s.score, wrong) for s in files.values())
    assert roc_auc(joined.score, wrong) > single + 0.01
    backward = join_scores(dict(reversed(files.items())), 'mean')
    assert (backward.rank == joined.rank).all()


def test_unreadable_in_one_file_is_unreadable():
    files = dict(
        a=scores_of([1, 1001, 2], [0.9, -np.inf, 0.3]), b=scores_of([3, 1, 2])
    )
    for method in ('mean', 'worst', 'change'):
        joined = join_scores(files, method)
        assert joined.unreadable == 1
        assert joined.rank[1] == 3
        assert not keep_mask(joined.rank, joined.score, keep_ratio=1.0)[1]


def test_a_join_is_a_score_file_and_joins_again(tmp_path):
    files, wrong = two_views()
    save_scores(tmp_path / 'j.npz', join_scores(files, 'mean'))
    joined = load_scores(tmp_path / 'j.npz')
    how = joined.meta['scorer']['join']
    assert how['method'] == 'mean'
    assert [file['name'] for file in how['files']] == list(files)
    again = join_scores({**files, 'j': joined}, 'mean')
    assert roc_auc(again.score, wrong) > 0.8
    prints = {joined.meta['scorer']['fingerprint']}
    prints.add(join_scores(files, 'worst').meta['scorer']['fingerprint'])
    prints.add(again.meta['scorer']['fingerprint'])
    assert len(prints) == 3


def test_logistic_learns_which_file_to_trust():
    pytest.importorskip('sklearn', reason='needs the extra [filtering]')
    files, wrong = two_views()
    rng = np.random.default_rng(1)
    noise = 1 + rng.permutation(len(wrong))
    files = {**files, 'noise.npz': scores_of(noise)}
    labels = {i: bool(wrong[i]) for i in range(0, 400, 2)}
    rest = np.arange(1, 400, 2)
    joined = join_scores(files, 'logistic', labels)
    mean = join_scores(files, 'mean')
    assert roc_auc(joined.score[rest], wrong[rest]) > 0.02 + roc_auc(
        mean.score[rest], wrong[rest]
    )
    again = join_scores(files, 'logistic', dict(reversed(labels.items())))
    assert (again.score == joined.score).all()
    assert again.meta == joined.meta


def test_the_weights_are_plain_values_that_give_the_scores(tmp_path):
    pytest.importorskip('sklearn', reason='needs the extra [filtering]')
    files, wrong = two_views()
    labels = {i: bool(wrong[i]) for i in range(100)}
    save_scores(tmp_path / 'j.npz', join_scores(files, 'logistic', labels))
    joined = load_scores(tmp_path / 'j.npz')
    model = json.loads(json.dumps(joined.meta['scorer']['join']['model']))
    assert model['labels'] == dict(
        right=int((~wrong[:100]).sum()), wrong=int(wrong[:100].sum())
    )
    values = {
        f'{name}: {part}': value
        for name, scores in files.items()
        for part, value in (
            ('log rank', np.log(scores.rank)),
            ('score', scores.score),
        )
    }
    odds = model['intercept'] + sum(
        row['weight'] * (values[row['name']] - row['mean']) / row['deviation']
        for row in model['features']
    )
    np.testing.assert_allclose(joined.score, odds, rtol=1e-4, atol=1e-5)


def test_a_pair_without_score_is_no_label():
    pytest.importorskip('sklearn', reason='needs the extra [filtering]')
    files, wrong = two_views()
    score = files['one.npz'].score.copy()
    score[:3] = -np.inf
    files['one.npz'] = scores_of(files['one.npz'].rank, score)
    labels = dict(enumerate(wrong[:200].tolist()))
    joined = join_scores(files, 'logistic', labels)
    counted = joined.meta['scorer']['join']['model']['labels']
    assert sum(counted.values()) == 197
    assert joined.unreadable == 3


def test_scores_of_other_data_are_named():
    files = dict(
        a=scores_of([1, 2]),
        b=scores_of([1, 2], fingerprint='f' * 32, name='Others'),
        c=scores_of([2, 2]),
    )
    with pytest.raises(
        ValueError,
        match=r'scores "b" are of other data \(Others, 2 pairs, fingerprint '
        r'ffffffffffff\) than "a" \(Pairs, 2 pairs, fingerprint a',
    ):
        join_scores(files, 'mean')
    with pytest.raises(ValueError, match='no score files'):
        check_same_data({})
    unsaid = {name: RelevanceScores([1, 2], [0.1, 0.2]) for name in 'ab'}
    with pytest.raises(ValueError, match='do not say which data they are of'):
        join_scores(unsaid, 'mean')


@pytest.mark.parametrize(
    ('method', 'number', 'labels', 'message'),
    [
        ('mean', 1, None, 'two score files or more, got 1'),
        ('median', 2, None, "one of mean, worst.*got 'median'"),
        ('mean', 2, {0: True}, '"mean" takes no labels'),
        ('logistic', 2, None, '"logistic" needs labels'),
    ],
)
def test_joins_without_meaning(method, number, labels, message):
    files = {str(i): scores_of([1, 2]) for i in range(number)}
    with pytest.raises(ValueError, match=message):
        join_scores(files, method, labels)


@pytest.mark.parametrize(
    ('labels', 'message'),
    [
        ({400: True}, 'name pair 400; the scores have the pairs 0 to 399'),
        (dict.fromkeys(range(50), False), 'labelled pairs 0 are wrong'),
        ({i: i > 3 for i in range(50)}, 'labelled pairs 4 are right'),
    ],
)
def test_labels_that_do_not_serve(labels, message):
    pytest.importorskip('sklearn', reason='needs the extra [filtering]')
    with pytest.raises(ValueError, match=message):
        join_scores(two_views()[0], 'logistic', labels)


def test_the_table_counts_chosen_pairs_alone():
    files, wrong = two_views()
    kinds, names = wrong.astype(int), ['right', 'other']
    chosen = np.arange(400) % 2 == 1
    rows = auc_rows(files, kinds, names, chosen)
    assert f'other ({wrong[chosen].sum()})' in rows[0]
    auc = roc_auc(-files['two.npz'].rank[chosen], wrong[chosen])
    assert f'| two.npz | {auc:.3f} | {auc:.3f} |' == rows[3]
    whole = auc_by_kind(files['one.npz'], kinds, names)['all']['rank']
    assert f'{whole:.3f}' in auc_rows(files, kinds, names)[2]
