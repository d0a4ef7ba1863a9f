"""Foreign metrics and whole batches."""

from types import SimpleNamespace

import pytest
from mmengine.dataset import DefaultSampler
from mmengine.evaluator import DumpResults

from mmtpr.datasets.samplers import WholeBatchSampler
from mmtpr.engine import SameBatchesHook
from mmtpr.engine.hooks import same_batches
from mmtpr.evaluation import PersonRetrievalMetric


def runner(*metrics, sampler=None):
    order = DefaultSampler(range(3), shuffle=False)
    loader = SimpleNamespace(
        batch_sampler=sampler or WholeBatchSampler(order, 2)
    )
    evaluator = SimpleNamespace(metrics=metrics)
    loop = SimpleNamespace(dataloader=loader, evaluator=evaluator)
    return SimpleNamespace(val_loop=loop, test_loop=loop)


def test_metrics_that_would_lose_samples(monkeypatch):
    hook, dump = SameBatchesHook(), DumpResults('x.pkl')
    mixed = runner(PersonRetrievalMetric(), dump)
    hook.before_test(mixed)  # in one process nothing is lost
    monkeypatch.setattr(same_batches, 'get_world_size', lambda: 2)
    for stage in ('val', 'test'):
        with pytest.raises(
            ValueError,
            match=f'DumpResults would lose.*{stage}_dataloader.batch_sampler',
        ):
            getattr(hook, f'before_{stage}')(mixed)
    hook.before_test(runner(PersonRetrievalMetric()))
    hook.before_val(runner(dump, sampler=[[0, 1]]))
