"""All rows of composed retrieval in one run."""

import logging

import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger

from mmtpr.evaluation import PersonRetrievalMetric
from mmtpr.registry import METRICS
from mmtpr.structures import RetrievalDataSample

ROWS = ('image', 'text', 'sum')


def build(**kwargs):
    return METRICS.build(dict(type='mmtpr.ComposedRetrievalMetric', **kwargs))


def samples(number=8, extra=5, tokens=4, pooled=True):
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    found = []
    for i in range(number):
        query = RetrievalDataSample(
            metainfo=dict(role='query', instance_id=i, caption_cut=i == 2)
        )
        query.features = draw(6)
        for row in ROWS:
            setattr(query, f'features_{row}', draw(6))
        found.append(query)
    for i in range(number + extra):
        item = RetrievalDataSample(
            metainfo=dict(role='gallery', instance_id=i if i < number else -1)
        )
        item.features = draw(tokens, 6)
        if pooled:
            item.features_pooled = draw(1, 6)
        found.append(item)
    return [sample.to_dict() for sample in found]


def evaluate(metric, data):
    metric.process(None, data)
    return metric.evaluate(len(data))


@pytest.fixture
def log():
    lines = []

    class Keep(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    handler = Keep()
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


@pytest.mark.parametrize('pooled', [True, False])
def test_each_row_is_a_person_retrieval_metric(pooled, log):
    data = samples(pooled=pooled)
    got = evaluate(build(topk_tokens=3), data)
    assert len(got) == 4 * 5
    # Told once, not for each row.
    lines = [line for line in log if 'captions were too long' in line]
    assert [line.split(' captions')[0] for line in lines] == ['1 of 8']
    plain = PersonRetrievalMetric(match_key='instance_id', topk_tokens=3)
    wanted = evaluate(plain, data)
    assert {k: v for k, v in got.items() if '/' not in k} == wanted
    key = 'features_pooled' if pooled else 'features'
    for row in ROWS:
        view = [
            {
                **sample,
                'features': sample[
                    f'features_{row}' if sample['role'] == 'query' else key
                ],
            }
            for sample in data
        ]
        wanted = evaluate(PersonRetrievalMetric('instance_id'), view)
        for name, value in wanted.items():
            assert got[f'{row}/{name}'] == value
    table = next(line for line in log if '| query |' in line).splitlines()
    starts = [line.split('|')[1].strip() for line in table[3:]]
    assert starts == [*ROWS, 'composed']
    assert f'{got["sum/mAP"]:.2f}' in table[5]


def test_in_an_evaluator_with_a_prefix():
    evaluator = Evaluator(
        dict(type='mmtpr.ComposedRetrievalMetric', rows=['sum'], prefix='cpr')
    )
    data = samples()
    evaluator.process([_Sample(sample) for sample in data])
    got = evaluator.evaluate(len(data))
    assert {'cpr/R@1', 'cpr/sum/R@1'} <= set(got)


class _Sample(dict):
    pass


def test_missing_rows_are_named():
    with pytest.raises(ValueError, match='gives the rows image, sum, text'):
        build(rows=['tinet0']).process(None, samples())
    with pytest.raises(ValueError, match='must be different names'):
        build(rows=['composed'])
    with pytest.raises(ValueError, match='must be different names'):
        build(rows=['sum', 'sum'])


def test_more_tokens_asked_than_there_are():
    with pytest.raises(ValueError, match='5'):
        evaluate(build(topk_tokens=5), samples())
