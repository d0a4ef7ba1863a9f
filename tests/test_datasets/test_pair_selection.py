"""Which pairs train, from scores on disk and by a selector of one's own."""

import numpy as np
import pytest

from mmtpr.datasets import (
    CUHKPEDES,
    ConsensusDivision,
    PairSelector,
    RelevanceFilteredDataset,
    ScoreSelector,
    SelectedPairsDataset,
)
from mmtpr.filtering import RelevanceScores, read_pairs
from mmtpr.filtering.consensus import DOUBTFUL, RIGHT, WRONG
from mmtpr.registry import DATASETS, TASK_UTILS
from mmtpr.structures import RetrievalDataSample
from mmtpr.structures.pairs import dataset_name
from mmtpr.testing import write_tiny_cuhk
from mmtpr.utils.warn import heard_warnings

PLAIN = [
    dict(type='LoadImageFromFile'),
    dict(type='mmtpr.PackRetrievalInputs'),
]


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    return str(write_tiny_cuhk(tmp_path_factory.mktemp('cuhk')))


def pairs_cfg(place, pipeline=PLAIN, **kwargs):
    return dict(
        type='mmtpr.CUHKPEDES',
        data_root=place,
        ann_file='reid_raw.json',
        data_prefix=dict(img_path='imgs'),
        pipeline=pipeline,
        **kwargs,
    )


def scores_of(dataset):
    pairs = read_pairs(dataset)
    number = len(pairs)
    return RelevanceScores(
        np.random.default_rng(0).permutation(number) + 1,
        np.zeros(number),
        dict(
            version=1,
            data=dict(
                fingerprint=pairs.fingerprint,
                name=dataset_name(dataset),
                length=number,
            ),
            scorer={},
            bank=dict(size=1000),
        ),
    )


class Asking(PairSelector):
    needs_losses = True

    def judge(self, dataset, losses=None, seed=0):
        return np.full(len(dataset), RIGHT, np.uint8)


@pytest.fixture
def marked(place):
    dataset = DATASETS.build(pairs_cfg(place))
    scores = scores_of(dataset)
    selector = dict(type='mmtpr.ScoreSelector', scores=scores, max_rank=9)
    return SelectedPairsDataset(dataset, selector), scores


def test_scores_mark_what_the_filter_keeps(marked):
    dataset, scores = marked
    filtered = RelevanceFilteredDataset(dataset.dataset, scores, max_rank=9)
    assert len(dataset) == len(scores) == 24
    assert len(filtered) == 9
    samples = [dataset[i]['data_samples'] for i in range(24)]
    marks = [sample.label_hat for sample in samples]
    assert marks == (scores.rank <= 9).astype(int).tolist()
    kept = [sample.caption for sample in samples if sample.label_hat]
    assert kept == [filtered.get_data_info(i)['caption'] for i in range(9)]
    assert [sample.pair_index for sample in samples] == [*range(24)]
    assert dataset[-1]['data_samples'].pair_index == 23
    assert dataset.metainfo == dataset.dataset.metainfo


def test_both_are_selectors(marked):
    dataset, scores = marked
    classes = ScoreSelector(scores, keep_ratio=0.5).judge(dataset.dataset)
    assert set(classes.tolist()) == {WRONG, RIGHT}
    assert classes.dtype == np.uint8
    pytest.importorskip('sklearn.mixture')
    rng = np.random.default_rng(0)
    losses = dict(
        bge=np.r_[rng.normal(0, 1, 12), rng.normal(20, 1, 12)],
        tse=np.r_[rng.normal(0, 1, 18), rng.normal(20, 1, 6)],
    )
    selector = TASK_UTILS.build(dict(type='mmtpr.ConsensusDivision'))
    classes = selector.judge(dataset, losses)
    wanted = [RIGHT] * 12 + [DOUBTFUL] * 6 + [WRONG] * 6
    assert classes.tolist() == wanted
    trained = selector.trained(classes, seed=3)
    assert trained[:12].all()
    assert not trained[18:].any()


@pytest.mark.parametrize('others', [{}, dict(tal=True)])
def test_one_line_where_losses_do_not_fall_apart(others, monkeypatch):
    pytest.importorskip('sklearn.mixture')
    lines = []
    monkeypatch.setattr(
        'mmtpr.datasets.pair_selection.consensus_division.warn', lines.append
    )
    losses = dict(flat=np.ones(200))
    if others:
        two = np.random.default_rng(0).normal(0, 1, 200)
        two[:50] += 30
        losses['tal'] = two
    selector = ConsensusDivision()
    classes = selector.judge(None, losses)
    assert len(lines) == 1
    assert '"flat" has the same value, 1, for all pairs' in lines[0]
    if others:
        assert 'Only tal divides the pairs this time.' in lines[0]
        assert (classes[:50] == WRONG).all()
    else:
        assert 'All pairs train until the next division.' in lines[0]
        assert (classes == RIGHT).all()
    # Each division is a line of its own: a log drops repeated ones.
    selector.judge(None, losses)
    assert lines[1] == lines[0].replace('division 1:', 'division 2:')
    assert lines[1] != lines[0]


def test_marks_of_a_selector_that_asks_the_model(place):
    cfg = pairs_cfg(place)
    dataset = SelectedPairsDataset(cfg, Asking(), plain_pipeline=PLAIN)
    sample = dataset[5]['data_samples']
    assert (sample.pair_index, sample.label_hat) == (5, -1)
    plain = dataset.plain_sample(5)
    assert plain['data_samples'].caption == sample.caption
    assert plain['data_samples'].get('label_hat') is None


def test_an_own_mark_of_0_stays(place, monkeypatch):
    read = CUHKPEDES.get_data_info

    def marked(self, idx):
        return dict(read(self, idx), label_hat=idx % 2)

    monkeypatch.setattr(CUHKPEDES, 'get_data_info', marked)
    dataset = SelectedPairsDataset(pairs_cfg(place), Asking(), PLAIN)
    marks = [dataset[i]['data_samples'].label_hat for i in range(4)]
    assert marks == [0, -1, 0, -1]


def test_over_other_wrappers(marked, place):
    dataset, scores = marked
    inner = dict(
        type='mmtpr.RelevanceFilteredDataset',
        dataset=pairs_cfg(place),
        scores=scores,
        max_rank=9,
    )
    joined = dict(
        type='mmtpr.ConcatDataset',
        datasets=[inner, dataset.dataset],
        same_persons=True,
    )
    outer = SelectedPairsDataset(joined, Asking(), plain_pipeline=PLAIN)
    assert len(outer) == 9 + 24
    for index in (3, 9 + 7):
        sample = outer[index]['data_samples']
        assert sample.pair_index == index
        assert (
            sample.caption == outer.plain_sample(index)['data_samples'].caption
        )


class Nothing:
    """Gives nothing for one caption."""

    def __call__(self, results):
        return None if results['sample_idx'] == 3 else results


def test_a_replaced_sample_is_none_of_ours(place):
    pipeline = [PLAIN[0], Nothing(), PLAIN[1]]
    dataset = SelectedPairsDataset(
        pairs_cfg(place, pipeline), Asking(), pipeline
    )
    assert dataset[2]['data_samples'].pair_index == 2
    with pytest.raises(ValueError, match=r'Pair 3, ".*", was replaced by'):
        dataset[3]
    with pytest.raises(ValueError, match='gives nothing for pair 3'):
        dataset.plain_sample(3)


def test_mistakes(place):
    with pytest.raises(TypeError, match='needs a selector'):
        SelectedPairsDataset(pairs_cfg(place), 'scores.npz')
    with pytest.raises(ValueError, match='Asking asks the model'):
        SelectedPairsDataset(pairs_cfg(place), Asking())
    with pytest.raises(TypeError, match='ScoreSelector needs the path'):
        ScoreSelector(None, max_rank=3)
    with pytest.raises(ValueError, match='got none'):
        ConsensusDivision().judge(None, {})
    bare = SelectedPairsDataset(pairs_cfg(place, []), Asking(), PLAIN)
    with pytest.raises(ValueError, match='must end with'):
        bare[0]
    with pytest.raises(TypeError, match='does not take ann_file'):
        SelectedPairsDataset(
            pairs_cfg(place), Asking(), PLAIN, ann_file='x.json'
        )


def test_a_sample_of_another_kind_is_left_alone(marked):
    """The wrapped dataset's own samples are not changed."""
    dataset, _ = marked
    sample = dataset.dataset[0]['data_samples']
    assert isinstance(sample, RetrievalDataSample)
    assert sample.get('pair_index') is None
    with heard_warnings() as lines:
        dataset[0]
    assert not lines
