"""Numbers of attributes against plain loops."""

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger

from mmtpr.evaluation import (
    attribute_metrics,
    balanced_accuracy,
    decide_by_prompts,
)
from mmtpr.structures import RetrievalDataSample


def reference(chosen, labels):
    """Loops over attributes, then over images; entries < 0 are skipped."""
    number, width = labels.shape
    found = []
    for j in range(width):
        rows = [i for i in range(number) if labels[i, j] >= 0]
        yes = [chosen[i, j] for i in rows if labels[i, j] == 1]
        no = [1 - chosen[i, j] for i in rows if labels[i, j] == 0]
        if yes and no:
            found.append((sum(yes) / len(yes) + sum(no) / len(no)) / 2)
    shares = []
    for i in range(number):
        true = {j for j in range(width) if labels[i, j] == 1}
        pred = {
            j for j in range(width) if labels[i, j] >= 0 and chosen[i, j] == 1
        }
        both = len(true & pred)
        wholes = (len(true | pred), len(pred), len(true))
        shares.append([both / whole if whole else 0 for whole in wholes])
    accuracy, precision, recall = np.mean(shares, axis=0)
    f1 = 2 * precision * recall / (precision + recall)
    values = (np.mean(found), accuracy, precision, recall, f1)
    names = ('mA', 'accuracy', 'precision', 'recall', 'F1')
    return {n: 100 * v for n, v in zip(names, values, strict=True)}


@pytest.mark.parametrize('unknown', [False, True])
def test_numbers_against_loops(unknown):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (40, 9))
    chosen = np.where(rng.random((40, 9)) < 0.8, labels, 1 - labels)
    labels[:, 4] = 1  # says nothing of mA
    labels[3], chosen[5] = 0, 0  # an image without any, one without found
    labels[7], chosen[7] = 0, 0
    if unknown:
        labels[rng.random((40, 9)) < 0.2] = -1
    assert (labels < 0).any() == unknown
    found = attribute_metrics(chosen, labels)
    assert found == pytest.approx(reference(chosen, labels))
    assert list(found) == ['mA', 'accuracy', 'precision', 'recall', 'F1']


def test_extremes():
    labels = torch.tensor([[1, 0, 1], [0, 1, 0]])
    assert set(attribute_metrics(labels, labels).values()) == {100}
    wrong = attribute_metrics(1 - labels, labels)
    assert set(wrong.values()) == {0}
    ones = attribute_metrics(torch.ones(2, 3), labels)
    assert ones['mA'] == 50
    assert ones['recall'] == 100
    assert ones['accuracy'] == ones['precision'] == pytest.approx(50)
    each = balanced_accuracy(torch.ones(2, 3), torch.ones(2, 3))
    assert each.isnan().all()


def test_better_prompt_decides_and_ties_are_a_no():
    scores = torch.tensor([[0.1, 0.3, 2.0, 1.0, 5.0, 5.0]])
    expected = [[True, False, False]]
    assert decide_by_prompts(scores).tolist() == expected
    assert decide_by_prompts(scores.view(1, 3, 2)).tolist() == expected
    with pytest.raises(ValueError, match=r'\(N, A, 2\), got \(1, 3\)'):
        decide_by_prompts(torch.zeros(1, 3))
    with pytest.raises(ValueError, match='NaN'):
        decide_by_prompts(torch.full((1, 2), torch.nan))


def samples(scores, labels):
    for i in range(len(labels)):
        meta = dict(img_path=f'{i}.jpg', attributes=labels[i].tolist())
        sample = RetrievalDataSample(metainfo=meta)
        sample.attribute_scores = scores[i]
        yield sample


def evaluate(items, meta=None, **kwargs):
    evaluator = Evaluator(dict(type='mmtpr.AttributeMetric', **kwargs))
    evaluator.dataset_meta = meta
    evaluator.process(items, None)
    return evaluator.evaluate(len(items))


def test_metric(tmp_path):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 2, (20, 3), generator=generator)
    labels[:, 2] = 0
    scores = torch.randn(20, 3, 2, generator=generator)
    chosen = scores[..., 1] > scores[..., 0]
    logger = MMLogger.get_instance('attributes', log_file=tmp_path / 'log')
    assert MMLogger.get_current_instance() is logger
    names = dict(attributes=('hat', 'bag', 'coat'))
    items = list(samples(scores, labels))
    found = evaluate(items, names, per_attribute=True, prefix='pa')
    expected = attribute_metrics(chosen, labels)
    for name, value in expected.items():
        assert found[f'pa/{name}'] == pytest.approx(value)
    assert found['pa/mA/hat'] == pytest.approx(
        float(balanced_accuracy(chosen, labels)[0])
    )
    assert 'leaves out attributes' in (tmp_path / 'log').read_text()
    assert 'have: coat.' in (tmp_path / 'log').read_text()
    for item, own in zip(items, chosen, strict=True):
        del item.attribute_scores
        item.pred_attributes = own
    assert evaluate(items) == pytest.approx(expected)


def test_metric_names_what_is_missing():
    scores = torch.zeros(2, 3, 2)
    (good, bad) = samples(scores, torch.zeros(2, 3))
    del bad.attributes
    with pytest.raises(ValueError, match=r'"1.jpg" has no attribute labels'):
        evaluate([good, bad])
    (bad, _) = samples(scores[:, :2], torch.zeros(2, 3))
    with pytest.raises(ValueError, match='3 attribute labels, but decisions'):
        evaluate([bad])
    del bad.attribute_scores
    with pytest.raises(ValueError, match='neither attribute_scores nor pred'):
        evaluate([bad])


@pytest.mark.parametrize('value', [0.2, 0.9, 2, -1])
def test_probabilities_are_no_predictions(value):
    with pytest.raises(ValueError, match='need a threshold first'):
        attribute_metrics([[value, 1]], [[1, 0]])
