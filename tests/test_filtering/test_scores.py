import json
import os

import numpy as np
import pytest

from mmtpr.filtering import RelevanceScores, load_scores, save_scores

META = dict(
    version=1,
    data=dict(fingerprint='ab' * 16, name='MALS', length=3),
    scorer=dict(fingerprint='cd' * 16),
    bank=dict(fingerprint='ef' * 16, size=10, seed=0, source='x.json'),
)


def make(meta=META):
    return RelevanceScores([1, 7, 11], [0.5, 0.25, -np.inf], meta)


@pytest.mark.smoke
def test_round_trip(tmp_path):
    path = tmp_path / 'new' / 'scores.npz'
    save_scores(path, make())
    scores = load_scores(path)
    assert scores.rank.tolist() == [1, 7, 11]
    assert scores.rank.dtype == np.int32
    assert scores.score.tolist() == [0.5, 0.25, -np.inf]
    assert scores.meta == META
    assert scores.unreadable == 1
    assert os.listdir(path.parent) == ['scores.npz']
    first = path.read_bytes()
    save_scores(path, make())
    assert path.read_bytes() == first


def test_file_holds_no_pickle(tmp_path):
    save_scores(tmp_path / 's.npz', make())
    with np.load(tmp_path / 's.npz', allow_pickle=False) as file:
        assert sorted(file) == ['meta', 'rank', 'score']
        assert json.loads(str(file['meta'])) == META


def test_missing_file(tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match=r'none.npz" does not exist.*score_relevance.py',
    ):
        load_scores(tmp_path / 'none.npz')


def test_cut_off_file(tmp_path):
    path = tmp_path / 's.npz'
    save_scores(path, make())
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r's.npz" is not a file of relevance'):
        load_scores(path)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'is damaged'),
        (b'some text', 'is damaged'),
    ],
)
def test_file_of_another_kind(tmp_path, content, message):
    (tmp_path / 's.npz').write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_scores(tmp_path / 's.npz')


def test_arrays_of_another_kind(tmp_path):
    path = tmp_path / 's.npz'
    np.savez(path, rank=np.arange(3))
    with pytest.raises(ValueError, match='score'):
        load_scores(path)
    np.savez(path, rank=np.arange(3), score=np.arange(3), meta=np.array('{}'))
    with pytest.raises(ValueError, match='lacks version, data, scorer, bank'):
        load_scores(path)
    pickled = np.array([{}], dtype=object)
    np.savez(path, rank=pickled, score=np.arange(3), meta=np.array('{}'))
    with pytest.raises(ValueError, match='is damaged'):
        load_scores(path)


def test_wrong_length_and_later_version(tmp_path):
    path = tmp_path / 's.npz'
    other = dict(META, data=dict(META['data'], length=4))
    save_scores(path, make(other))
    with pytest.raises(ValueError, match='3 scores for 4 pairs'):
        load_scores(path)
    save_scores(path, make(dict(META, version=2)))
    with pytest.raises(ValueError, match='version 2; this mmtpr reads rel'):
        load_scores(path)


def test_lengths_must_agree():
    with pytest.raises(ValueError, match='same length'):
        RelevanceScores([1, 2], [0.1])


def test_scores_that_are_none():
    with pytest.raises(ValueError, match=r'1 scores are NaN, .* pair 1\.'):
        RelevanceScores([1, 2], [0.1, np.nan])
    with pytest.raises(ValueError, match='The ranks are no numbers'):
        RelevanceScores(['1', '2'], [0.1, 0.2])


@pytest.mark.parametrize('wrong', [0, -1, 2.5, float('nan')])
def test_ranks_that_are_none(wrong, tmp_path):
    rank = np.array([1, wrong, 2])
    with pytest.raises(ValueError, match=r'^1 ranks are no .* of pair 1'):
        RelevanceScores(rank, np.ones(3), META)
    path = tmp_path / 'a.npz'
    np.savez(path, rank=rank, score=np.ones(3), meta=json.dumps(META))
    with pytest.raises(ValueError, match=r'a.npz" is not .*1 ranks are no'):
        load_scores(path)


def test_ranks_that_would_wrap_or_are_above_the_bank():
    with pytest.raises(ValueError, match=r'rank 4294967297.* of pair 1 is'):
        RelevanceScores(np.array([1, 2**32 + 1]), np.zeros(2))
    with pytest.raises(ValueError, match='above 41, the last'):
        RelevanceScores(
            np.array([1, 42]), np.zeros(2), dict(bank=dict(size=40))
        )
    RelevanceScores(np.array([1, 41]), np.zeros(2), dict(bank=dict(size=40)))


@pytest.mark.parametrize(
    ('meta', 'match'),
    [
        ([1, 2], 'its description is no dict'),
        (dict(META, version='1'), "version='1' of its description"),
        (dict(META, data=3), 'data.fingerprint of its description is None'),
        (dict(META, data=dict(META['data'], length='3')), "length .* '3', no"),
        (dict(META, bank=dict(size=None)), 'bank.size of its description'),
    ],
)
def test_descriptions_of_other_types(meta, match, tmp_path):
    path = tmp_path / 's.npz'
    save_scores(path, make(META))
    with np.load(path) as file:
        arrays = dict(file)
    arrays['meta'] = np.array(json.dumps(meta))
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=f'damaged .*{match}'):
        load_scores(path)
