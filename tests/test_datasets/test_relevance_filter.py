import copy
from functools import wraps

import numpy as np
import pytest
from mmengine.dataset import BaseDataset, ConcatDataset, RepeatDataset
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from mmtpr.datasets import CUHKPEDES, RelevanceFilteredDataset
from mmtpr.filtering import RelevanceScores, read_pairs, save_scores
from mmtpr.registry import DATASETS
from mmtpr.structures.pairs import dataset_name
from mmtpr.testing import write_tiny_cuhk


@MMENGINE_DATASETS.register_module(name='ForeignPairs', force=True)
class ForeignPairs(BaseDataset):
    """A dataset that knows nothing of mmtpr."""

    def __init__(self, number=8, key='text', **kwargs):
        self.number, self.key = number, key
        super().__init__(**kwargs)

    def load_data_list(self):
        return [
            {'img_path': f'/d/{i}.png', self.key: f'a {i}', 'label': i}
            for i in range(self.number)
        ]

    def get_cat_ids(self, idx):
        return [self.get_data_info(idx)['label'] % 2]


def scores_for(dataset, seed=0, bank=1000):
    pairs = read_pairs(dataset)
    rng = np.random.default_rng(seed)
    return RelevanceScores(
        np.minimum(rng.permutation(len(pairs)), bank) + 1,
        rng.random(len(pairs)),
        dict(
            version=1,
            data=dict(
                fingerprint=pairs.fingerprint,
                name=dataset_name(dataset),
                length=len(pairs),
            ),
            scorer={},
            bank=dict(size=bank),
        ),
    )


@pytest.fixture
def foreign():
    return ForeignPairs()


@pytest.mark.smoke
@pytest.mark.parametrize('lazy', [False, True])
def test_keeps_what_the_rule_allows(tmp_path, foreign, lazy):
    scores = scores_for(foreign)
    save_scores(tmp_path / 's.npz', scores)
    dataset = RelevanceFilteredDataset(
        dict(type='ForeignPairs', lazy_init=lazy),
        str(tmp_path / 's.npz'),
        max_rank=3,
        lazy_init=lazy,
    )
    kept = np.flatnonzero(scores.rank <= 3).tolist()
    assert len(dataset) == 3
    assert [dataset.get_data_info(i)['label'] for i in range(3)] == kept
    assert [dataset[i]['label'] for i in range(3)] == kept
    assert dataset.get_cat_ids(1) == [kept[1] % 2]
    assert dataset[-1]['label'] == kept[-1]
    with pytest.raises(IndexError):
        dataset[3]


@pytest.mark.parametrize(
    'rules',
    [
        dict(keep_ratio=0.5),
        dict(min_score=0.4),
        dict(max_rank=5, min_score=0.2),
    ],
)
def test_other_rules(foreign, rules):
    from mmtpr.filtering import keep_mask

    scores = scores_for(foreign)
    dataset = RelevanceFilteredDataset(foreign, scores, **rules)
    kept = np.flatnonzero(keep_mask(scores.rank, scores.score, **rules))
    assert [dataset[i]['label'] for i in range(len(dataset))] == kept.tolist()
    assert 0 < len(dataset) < 8


def test_all_files_of_a_list_must_agree(tmp_path, foreign):
    one, two = scores_for(foreign), scores_for(foreign, seed=1)
    save_scores(tmp_path / 'two.npz', two)
    parts = [
        dict(scores=one, max_rank=6),
        dict(scores=str(tmp_path / 'two.npz'), min_score=0.3),
    ]
    dataset = RelevanceFilteredDataset(foreign, parts)
    kept = np.flatnonzero((one.rank <= 6) & (two.score >= 0.3)).tolist()
    assert 0 < len(kept) < min((one.rank <= 6).sum(), (two.score >= 0.3).sum())
    assert [dataset[i]['label'] for i in range(len(dataset))] == kept
    # A rule beside the list is that of the files without one.
    parts = [one, dict(scores=two, min_score=0.3)]
    dataset = RelevanceFilteredDataset(foreign, parts, max_rank=6)
    assert [dataset[i]['label'] for i in range(len(dataset))] == kept


def test_counts_of_a_list_are_logged(foreign, monkeypatch):
    lines = []
    monkeypatch.setattr(
        'mmtpr.datasets.pair_selection.score_selector.print_log',
        lambda text, **_: lines.append(text),
    )
    both = [scores_for(foreign), scores_for(foreign, seed=1)]
    dataset = RelevanceFilteredDataset(foreign, both, max_rank=5)
    assert lines[0].startswith(
        'Relevance filter (max_rank=5 of given): kept 5'
    )
    assert lines[2].startswith(
        f'Relevance filter, all 2 files: kept {len(dataset)} of 8 pairs'
    )


def test_lists_of_score_files_that_make_no_sense(foreign):
    scores, other = scores_for(foreign), scores_for(ForeignPairs(7))
    build = RelevanceFilteredDataset
    with pytest.raises(ValueError, match=r'belong to other data: .* 7 pairs'):
        build(foreign, [scores, other], max_rank=3)
    with pytest.raises(ValueError, match='an empty list'):
        build(foreign, [], max_rank=3)
    with pytest.raises(ValueError, match='at least one of max_rank'):
        build(foreign, [dict(scores=scores, max_rank=3), scores])
    with pytest.raises(ValueError, match=r'takes scores and .*, got rank'):
        build(foreign, [dict(scores=scores, rank=3)])
    with pytest.raises(TypeError, match='got scores=None'):
        build(foreign, [dict(max_rank=3)])
    own = [dict(scores=scores, max_rank=3)]
    with pytest.raises(ValueError, match='rules beside the list would do no'):
        build(foreign, own, keep_ratio=0.5)
    best = [np.flatnonzero(scores.rank == r)[0] for r in (1, 2)]
    apart = [scores_for(foreign), scores_for(foreign)]
    apart[1].rank[best[0]], apart[1].rank[best[1]] = 2, 1
    with pytest.raises(ValueError, match='No one of the 8 pairs of Foreign'):
        build(foreign, apart, max_rank=1)


def test_counts_are_logged(foreign, monkeypatch):
    lines = []
    monkeypatch.setattr(
        'mmtpr.datasets.pair_selection.score_selector.print_log',
        lambda text, **_: lines.append(text),
    )
    RelevanceFilteredDataset(foreign, scores_for(foreign), max_rank=2)
    assert lines == [
        'Relevance filter (max_rank=2): kept 2 of 8 pairs (25.0 %), dropped '
        '6, of them 0 with an unreadable image.'
    ]
    RelevanceFilteredDataset(foreign, scores_for(foreign, bank=4), max_rank=5)
    assert lines[-1].startswith('max_rank=5 drops nothing: the bank of given')


def test_scores_of_another_length(tmp_path, foreign):
    save_scores(tmp_path / 's.npz', scores_for(foreign))
    with pytest.raises(
        ValueError,
        match=r'scores ".*s.npz" belong to other data: they were made from '
        r'ForeignPairs with 8 pairs .*but the dataset here is ForeignPairs '
        r'with 7 pairs',
    ):
        RelevanceFilteredDataset(
            ForeignPairs(7), tmp_path / 's.npz', max_rank=3
        )


def test_scores_of_other_content(foreign):
    class Shuffled(ForeignPairs):
        def load_data_list(self):
            return super().load_data_list()[::-1]

    with pytest.raises(
        ValueError,
        match=r'ForeignPairs with 8 pairs .fingerprint [0-9a-f]{12}., but the '
        'dataset here is Shuffled with 8 pairs, fingerprint [0-9a-f]{12}',
    ):
        RelevanceFilteredDataset(Shuffled(), scores_for(foreign), max_rank=3)


def test_data_may_lie_elsewhere(tmp_path):
    one = CUHKPEDES(data_root=str(write_tiny_cuhk(tmp_path / 'a')))
    two = CUHKPEDES(data_root=str(write_tiny_cuhk(tmp_path / 'b/c')))
    dataset = RelevanceFilteredDataset(two, scores_for(one), keep_ratio=0.5)
    assert len(dataset) == len(two) // 2
    assert str(tmp_path / 'b/c') in dataset.get_data_info(0)['img_path']
    assert dataset.metainfo == two.metainfo
    assert dataset.metainfo['num_pids'] == 6


def count_reads(monkeypatch):
    calls = []
    read = ForeignPairs.get_data_info

    @wraps(read)  # passes for mmengine's own
    def noted(self, idx):
        calls.append(idx)
        return read(self, idx)

    monkeypatch.setattr(ForeignPairs, 'get_data_info', noted)
    return calls


def test_known_data_are_not_read_one_by_one(monkeypatch):
    dataset = ForeignPairs(500)
    scores = scores_for(dataset)
    scores.meta['data']['serialized'] = read_pairs(dataset).serialized
    calls = count_reads(monkeypatch)
    assert len(RelevanceFilteredDataset(dataset, scores, max_rank=9)) == 9
    assert len(calls) == 64
    # Where the bytes are others, the pairs decide.
    scores.meta['data']['serialized'] = 32 * '0'
    assert len(RelevanceFilteredDataset(dataset, scores, max_rank=9)) == 9
    assert len(calls) == 64 + 64 + 500


def test_score_files_of_former_versions(foreign, monkeypatch):
    scores = scores_for(foreign)
    assert 'serialized' not in scores.meta['data']
    calls = count_reads(monkeypatch)
    assert len(RelevanceFilteredDataset(foreign, scores, max_rank=3)) == 3
    assert calls == [*range(8)]


def test_no_scores_and_no_rule(tmp_path, foreign):
    with pytest.raises(TypeError, match=r'scores=None.*score_relevance.py'):
        RelevanceFilteredDataset(foreign, None, max_rank=3)
    with pytest.raises(ValueError, match='at least one of max_rank'):
        RelevanceFilteredDataset(foreign, scores_for(foreign))
    with pytest.raises(ValueError, match='whole number from 1 on'):
        RelevanceFilteredDataset(
            foreign, tmp_path / 'absent', max_rank=0, lazy_init=True
        )
    with pytest.raises(FileNotFoundError, match='absent" does not exist'):
        RelevanceFilteredDataset(foreign, tmp_path / 'absent', max_rank=3)
    with pytest.raises(ValueError, match=r'min_score=2.0 keeps none of the 8'):
        RelevanceFilteredDataset(foreign, scores_for(foreign), min_score=2.0)


def test_only_data_sets_are_wrapped(foreign):
    with pytest.raises(TypeError, match="<class 'list'> without full_init"):
        RelevanceFilteredDataset([1], scores_for(foreign), max_rank=3)


def test_subsets_are_refused(foreign):
    dataset = RelevanceFilteredDataset(
        foreign, scores_for(foreign), max_rank=3
    )
    for method in (dataset.get_subset, dataset.get_subset_):
        with pytest.raises(NotImplementedError, match='`indices`'):
            method([0])


def test_metainfo_is_a_copy():
    dataset = ForeignPairs(metainfo=dict(classes=['a']))
    filtered = RelevanceFilteredDataset(
        dataset, scores_for(dataset), max_rank=3
    )
    filtered.metainfo['classes'].append('b')
    assert filtered.metainfo == dict(classes=['a'])


def test_other_wrappers_inside_and_outside(foreign):
    both = ConcatDataset([foreign, ForeignPairs(4)])
    scores = scores_for(both)
    inside = RelevanceFilteredDataset(both, scores, max_rank=6)
    kept = np.flatnonzero(scores.rank <= 6)
    labels = [i if i < 8 else i - 8 for i in kept.tolist()]
    assert [inside[i]['label'] for i in range(6)] == labels

    cfg = dict(
        type='mmtpr.RelevanceFilteredDataset',
        dataset=dict(type='ForeignPairs'),
        scores=scores_for(foreign),
        max_rank=3,
    )
    joined = DATASETS.build(cfg)
    assert len(joined) == 3
    repeated = RepeatDataset(copy.deepcopy(cfg), times=2)
    assert len(repeated) == 6
    assert repeated[4]['label'] == joined[1]['label']
    more = ConcatDataset([copy.deepcopy(cfg), ForeignPairs(4)])
    assert len(more) == 7
    assert [more[i]['label'] for i in (2, 3)] == [joined[2]['label'], 0]


def test_key_by_name():
    dataset = ForeignPairs(key='remark')
    scores = scores_for(ForeignPairs())
    filtered = RelevanceFilteredDataset(
        dataset, scores, max_rank=3, caption_key='remark'
    )
    assert len(filtered) == 3
    with pytest.raises(ValueError, match='caption_key'):
        RelevanceFilteredDataset(dataset, scores, max_rank=3)


def test_in_a_data_loader_of_a_foreign_scope(tmp_path, foreign):
    save_scores(tmp_path / 's.npz', scores_for(foreign))
    with DefaultScope.overwrite_default_scope('mmengine'):
        loader = Runner.build_dataloader(
            dict(
                batch_size=2,
                dataset=dict(
                    type='mmtpr.RelevanceFilteredDataset',
                    dataset=dict(type='ForeignPairs', lazy_init=True),
                    scores=str(tmp_path / 's.npz'),
                    max_rank=5,
                    lazy_init=True,
                ),
                sampler=dict(type='DefaultSampler', shuffle=True),
                collate_fn=dict(type='pseudo_collate'),
            ),
            seed=0,
        )
    labels = [label for batch in loader for label in batch['label']]
    kept = np.flatnonzero(scores_for(foreign).rank <= 5)
    assert sorted(labels) == kept.tolist()
