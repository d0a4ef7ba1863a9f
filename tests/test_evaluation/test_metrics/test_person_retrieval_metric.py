"""PersonRetrievalMetric by itself and in the ordinary test loop."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger

from mmtpr.evaluation import PersonRetrievalMetric, rank_metrics
from mmtpr.evaluation.metrics.ranking_file import query_rows, read_ranking
from mmtpr.registry import METRICS
from mmtpr.structures import RetrievalDataSample

ROOT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.smoke


def sample(role, features, **facts):
    result = RetrievalDataSample(metainfo=dict(role=role, **facts))
    result.features = features
    return result


def evaluate(samples, batch=3, **kwargs):
    evaluator = Evaluator(dict(type='mmtpr.PersonRetrievalMetric', **kwargs))
    for start in range(0, len(samples), batch):
        evaluator.process(samples[start : start + batch], None)
    return evaluator.evaluate(len(samples))


@pytest.fixture
def toy():
    """11 queries and 30 gallery items of 4 persons, raw features."""
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(11, 8, generator=generator)
    gallery = torch.randn(30, 3, 8, generator=generator)
    samples = [
        sample(
            'query',
            query[i],
            pid=i % 4,
            instance_id=100 + i % 2,
            caption=f'person {i}',
            img_path=f'root/{i}.jpg',
        )
        for i in range(11)
    ]
    samples += [
        sample(
            'gallery',
            gallery[i],
            pid=i % 4,
            instance_id=100 + i % 2,
            img_path=f'root/./{i}.jpg',
        )
        for i in range(30)
    ]
    return samples, F.normalize(query, dim=-1), F.normalize(gallery, dim=-1)


def test_numbers(toy):
    samples, query, gallery = toy
    whole = torch.einsum('qd,ntd->qnt', query, gallery)
    ids = torch.arange(11) % 4, torch.arange(30) % 4
    for k in (1, 2):
        expected = rank_metrics(whole.topk(k, -1)[0].mean(-1), *ids)
        found = evaluate(samples, topk_tokens=k)
        assert found == pytest.approx(expected)
        assert list(found) == ['R@1', 'R@5', 'R@10', 'mAP', 'mINP']
        others = evaluate(samples[::-1], topk_tokens=k, chunk_size=4)
        assert found == pytest.approx(others, rel=1e-12)


def test_match_key_prefix_and_topk(toy):
    samples, query, gallery = toy
    scores = torch.einsum('qd,ntd->qnt', query, gallery).amax(-1)
    expected = rank_metrics(
        scores, torch.arange(11) % 2, torch.arange(30) % 2, (2,)
    )
    found = evaluate(samples, match_key='instance_id', topk=(2,), prefix='t2i')
    assert found['t2i/mAP'] == pytest.approx(expected['mAP'])
    assert list(found) == ['t2i/R@2', 't2i/mAP', 't2i/mINP']


def test_same_image_can_be_excluded(toy):
    samples, query, gallery = toy
    scores = torch.einsum('qd,ntd->qnt', query, gallery).amax(-1)
    own = (torch.arange(11), torch.arange(11))
    ids = torch.arange(11) % 4, torch.arange(30) % 4
    found = evaluate(samples, exclude_same_image=True)
    assert found == pytest.approx(rank_metrics(scores, *ids, exclude=own))
    assert found != evaluate(samples)


def test_one_vector_for_each_item_and_half_precision(toy):
    samples, *_ = toy
    for item in samples[11:]:
        item.features = item.features[0]
    for item in samples:
        item.features = item.features.bfloat16()
    features = torch.stack([item.features for item in samples]).float()
    features = F.normalize(features, dim=-1)
    expected = rank_metrics(
        features[:11] @ features[11:].t(),
        torch.arange(11) % 4,
        torch.arange(30) % 4,
    )
    assert evaluate(samples) == pytest.approx(expected)


def test_stored_features_do_not_hold_their_batch():
    batch = torch.randn(64, 8)
    metric = PersonRetrievalMetric()
    metric.process(None, [dict(role='query', pid=1, features=batch[3])])
    kept = metric.results[0]['features']
    assert kept.untyped_storage().nbytes() == 8 * 4
    assert kept.norm().item() == pytest.approx(1)


def test_constant_model_earns_nothing(toy):
    samples, *_ = toy
    for item in samples:
        item.features = torch.full_like(item.features, 0.3)
    found = evaluate(samples)
    assert found['R@1'] == found['R@10'] == 0
    assert evaluate(samples, ties='optimistic')['R@1'] == 100


def test_distractors_and_missing_queries(toy, tmp_path):
    samples, *_ = toy
    for item in samples[11:]:
        if item.pid in (0, 3):
            item.set_metainfo(dict(pid=-1))
    with pytest.raises(
        ValueError,
        match=r'5 of 11 queries have no match by pid .*\(first pids: 0, 3\)',
    ):
        evaluate(samples)
    logger = MMLogger.get_instance('missing', log_file=str(tmp_path / 'log'))
    assert MMLogger.get_current_instance() is logger
    found = evaluate(
        samples, on_missing='skip', save_ranking=str(tmp_path / 'r.json')
    )
    assert 'leaves out 5 of 11 queries' in (tmp_path / 'log').read_text()
    assert 0 < found['mAP'] < 100
    queries = read_ranking(tmp_path / 'r.json')['queries']
    assert queries[0]['first_rank'] is None
    assert not any(item['correct'] for item in queries[0]['ranking'])


def test_saved_ranking(toy, tmp_path):
    samples, query, gallery = toy
    weight = np.float32(0.75)
    samples[3].set_metainfo(
        dict(negative_text='a hat', negative_weight=weight)
    )
    path = tmp_path / 'deep' / 'ranking.json'
    found = evaluate(
        samples, save_ranking=str(path), save_topk=4, topk_tokens=2
    )
    content = read_ranking(path)
    assert os.listdir(path.parent) == ['ranking.json']
    assert content['metrics'] == found
    assert content['match_key'] == 'pid'
    whole = torch.einsum('qd,ntd->qnt', query, gallery)
    best = whole.topk(2, -1)[0].mean(-1).topk(4)
    queries = content['queries']
    assert [q['caption'] for q in queries] == [
        f'person {i}' for i in range(11)
    ]
    said = {
        i: q['negative_text']
        for i, q in enumerate(queries)
        if 'negative_text' in q
    }
    assert said == {3: 'a hat'}
    assert queries[3]['negative_weight'] == 0.75
    assert query_rows(content)[3]['query'] == (
        'person 3 [not: a hat, times 0.75]'
    )
    for row, entry in enumerate(queries):
        assert entry['id'] == row % 4
        paths = [item['img_path'] for item in entry['ranking']]
        assert paths == [f'root/./{i}.jpg' for i in best.indices[row]]
        scores = [item['score'] for item in entry['ranking']]
        assert scores == pytest.approx(best.values[row].tolist())
        for item in entry['ranking']:
            assert item['correct'] == (item['id'] == entry['id'])
    hits = [entry['first_rank'] == 1 for entry in queries]
    assert found['R@1'] == pytest.approx(100 * sum(hits) / 11)
    assert found['mAP'] == pytest.approx(
        100 * sum(entry['AP'] for entry in queries) / 11
    )


def test_ranking_file_of_another_kind(tmp_path):
    (tmp_path / 'x.json').write_text('[1]')
    with pytest.raises(ValueError, match='not a file of ranked lists'):
        read_ranking(tmp_path / 'x.json')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(match_key='image_id'), "not 'image_id'"),
        (dict(ties='fair'), "ties must be one of .* not 'fair'"),
        (dict(on_missing='drop'), "on_missing must be one of .* not 'drop'"),
        (dict(topk=(1, 0)), 'positive integers'),
        (dict(topk_tokens=0), 'topk_tokens must be at least 1, got 0'),
        (dict(chunk_size=0), 'chunk_size must be at least 1'),
        (dict(save_topk=0), 'save_topk must be at least 1'),
        (dict(save_ranking='lists.pkl'), 'must be a .json file'),
    ],
)
def test_wrong_options(arguments, message):
    with pytest.raises(ValueError, match=message):
        METRICS.build(dict(type='mmtpr.PersonRetrievalMetric', **arguments))


def test_wrong_samples(toy):
    samples, *_ = toy
    metric = PersonRetrievalMetric(match_key='instance_id')
    feature = torch.ones(4)
    wrong = [
        (dict(role='train'), "has role='train'"),
        (dict(role='query', pid=1), 'no instance_id.*match_key'),
        (dict(role='query', instance_id=1), 'has no features'),
        (
            dict(role='query', instance_id=1, features=torch.ones(2, 4)),
            r'one feature vector, got shape \(2, 4\)',
        ),
    ]
    for item, message in wrong:
        with pytest.raises(ValueError, match=message):
            metric.process(None, [item])
    with pytest.raises(ValueError, match=r'no gallery samples \(11 in all'):
        evaluate(samples[:11])
    with pytest.raises(ValueError, match='no query samples'):
        evaluate(samples[11:])
    samples[-1].features = feature[None]
    with pytest.raises(ValueError, match='gallery features differ in shape'):
        evaluate(samples)
    samples[-1].features = torch.full((3, 8), torch.nan)
    with pytest.raises(ValueError, match=r'1 of 30 .*"root/./29.jpg"'):
        evaluate(samples)


@pytest.mark.dist
def test_any_number_of_processes_gives_the_same(tmp_path, run_processes):
    """91 samples in 23 batches, on uneven kernels."""
    script = ROOT / 'tests/helpers/run_test_loop.py'
    one = run_processes(script, 1, tmp_path / 'one')
    assert run_processes(script, 3, tmp_path / 'three') == one
    assert 0 < one[0]['mAP'] < 100


def test_samples_of_another_project():
    sample = dict(pred_feature=torch.ones(4), gt_label=1, img_path='a.jpg')
    with pytest.raises(
        ValueError,
        match=r"needs role \('query' or 'gallery'\), pid .*features.*has \["
        "'gt_label', 'img_path', 'pred_feature'",
    ):
        PersonRetrievalMetric().process({}, [sample])


def test_samples_that_one_process_lacks():
    metric = PersonRetrievalMetric()
    feats = torch.eye(3)
    samples = [
        dict(role=role, pid=pid, features=feats[pid])
        for role in ('query', 'gallery')
        for pid in (0, 1)
    ]
    metric.process({}, samples)
    with pytest.raises(ValueError, match='gave 4 of 5 samples; drop_last'):
        metric.evaluate(5)
    assert metric.evaluate(4)['R@1'] == 100


def test_identities_are_whole_numbers():
    sample = dict(role='query', pid=1.7, features=torch.ones(2))
    with pytest.raises(ValueError, match=r'pid=1\.7 of a sample is no whole'):
        PersonRetrievalMetric().process({}, [sample])
