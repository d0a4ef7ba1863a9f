"""Re-ranking and attributes through a runner."""

from pathlib import Path

import pytest
import rerank_worker as worker
import torch
from mmengine.registry import DATASETS
from rerank_worker import (
    PROMPTS,
    AttributeImages,
    attribute_runner,
    runner_of,
    set_of,
)

from mmtpr.evaluation import FusedScores, attribute_metrics, rank_reranked
from mmtpr.evaluation.metrics.ranking_file import read_ranking
from mmtpr.testing import tiny_swin_bert_cfg

ROOT = Path(__file__).resolve().parents[2]


def plain_scores(model, samples, topk):
    """One query at a time, states repeated for its candidates."""
    data = model.data_preprocessor(set_of(samples), False)['inputs']
    mask = (data['tokens'] != 0).long()
    texts, states = model.encode_text(data['tokens'], mask)
    images, embeds = model.encode_image(data['image'])
    index = (texts @ images.t()).topk(topk).indices
    scores = [
        model.itm_scores(
            state.expand(topk, -1, -1), own.expand(topk, -1), embeds[best]
        )
        for state, own, best in zip(states, mask, index, strict=True)
    ]
    return FusedScores(texts, images, index, torch.stack(scores))


@pytest.mark.parametrize('stage', ['test', 'val'])
@torch.no_grad()
def test_numbers_against_one_query_at_a_time(tmp_path, stage):
    runner = runner_of(tmp_path, stage, num_candidates=7)
    found = getattr(runner, stage)()
    samples = runner.test_dataloader.dataset if stage == 'test' else None
    samples = samples or runner.val_dataloader.dataset
    scores = plain_scores(runner.model, samples, 7)
    ids = [samples[i]['data_samples'].pid for i in range(len(samples))]
    queries = worker.NUM_QUERIES
    ranking, lists = rank_reranked(
        scores, ids[:queries], ids[queries:], list_size=10
    )
    expected = ranking.metrics()
    assert {k: found[k] for k in expected} == pytest.approx(expected)
    assert list(found)[5:] == [f'cosine/{k}' for k in expected]
    assert found['mAP'] != pytest.approx(found['cosine/mAP'])
    content = read_ranking(tmp_path / 'ranking.json')
    for row, entry in enumerate(content['queries']):
        own = [item['score'] for item in entry['ranking']]
        assert own == pytest.approx(lists['score'][row].tolist(), abs=1e-5)
    # Nothing is kept for the next time.
    again = getattr(runner, stage)()
    assert again == found


@torch.no_grad()
def test_swin_and_bert(tmp_path):
    """The model of the papers."""
    pytest.importorskip('transformers')
    model = dict(
        type='mmtpr.CrossModalPersonRetriever', encoder=tiny_swin_bert_cfg()
    )
    runner = runner_of(tmp_path, 'test', num_candidates=7, model=model)
    found = runner.test()
    samples = runner.test_dataloader.dataset
    scores = plain_scores(runner.model, samples, 7)
    ids = [samples[i]['data_samples'].pid for i in range(len(samples))]
    queries = worker.NUM_QUERIES
    expected, _ = rank_reranked(scores, ids[:queries], ids[queries:])
    expected = expected.metrics()
    assert {k: found[k] for k in expected} == pytest.approx(expected)


def test_no_candidates_beyond_the_gallery(tmp_path):
    found = runner_of(tmp_path, 'test', num_candidates=500).test()
    assert 0 < found['mAP'] < 100


@pytest.mark.dist
def test_any_number_of_processes_gives_the_same(tmp_path, run_processes):
    """Re-ranking and attributes, to the bit, on uneven kernels."""
    script = ROOT / 'tests/helpers/rerank_worker.py'
    one = run_processes(script, 1, tmp_path / 'one')
    assert run_processes(script, 3, tmp_path / 'three') == one
    assert 0 < one[0]['mAP'] < 100
    assert 0 < one[0]['mA'] < 100


def test_wrong_configs(tmp_path):
    with pytest.raises(ValueError, match=r'only mmtpr\.RerankedRetrieval'):
        runner_of(
            tmp_path, 'test', dict(type='mmtpr.PersonRetrievalMetric')
        ).test()
    with pytest.raises(ValueError, match='num_candidates must be at least 1'):
        runner_of(tmp_path, 'test', num_candidates=0).test()
    with pytest.raises(ValueError, match='gallery_block must be at least 1'):
        runner_of(tmp_path, 'test', gallery_block=0).test()
    runner = runner_of(tmp_path, 'test')
    runner._test_loop = dict(type='TestLoop')
    with pytest.raises(ValueError, match='A query has no rerank_index'):
        runner.test()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(tokens=False), 'query "caption 0" has no tokens: add'),
        (dict(images=False), 'gallery item "0.jpg" has no image'),
        (dict(roles=('gallery',)), 'has 0 queries and 36 gallery items'),
    ],
)
def test_wrong_data(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        runner_of(tmp_path, 'test', data=change).test()


@torch.no_grad()
def test_attributes_by_prompts(tmp_path):
    assert DATASETS.get('AttributeImages') is AttributeImages
    runner = attribute_runner(tmp_path)
    found = runner.test()
    model, samples = runner.model, runner.test_dataloader.dataset
    data = model.data_preprocessor(set_of(samples), False)['inputs']
    _, embeds = model.encode_image(data['image'])
    chosen, labels = [], []
    for i, embed in enumerate(embeds):
        pair_scores = []
        for text in [text for pair in PROMPTS for text in pair]:
            tokens = worker.words_of(dict(caption=text))['tokens'][None]
            mask = (tokens != 0).long()
            _, states = model.encode_text(tokens, mask)
            pair_scores.append(model.itm_scores(states, mask, embed[None]))
        no, yes = torch.cat(pair_scores).view(3, 2).unbind(1)
        chosen.append(yes > no)
        labels.append(torch.tensor(samples[i]['data_samples'].attributes))
    expected = attribute_metrics(torch.stack(chosen), torch.stack(labels))
    assert found == pytest.approx(expected)
    assert 0 < found['mA'] < 100


@torch.no_grad()
def test_prompts_are_encoded_once_a_run(tmp_path, monkeypatch):
    runner = attribute_runner(tmp_path)
    before = runner.test()
    calls = []
    plain = runner.model.encode_text

    def count(tokens, mask):
        calls.append(len(tokens))
        return plain(tokens, mask)

    monkeypatch.setattr(runner.model, 'encode_text', count)
    assert len(runner.test_dataloader) > 1
    assert runner.test() == before
    assert sum(calls) == 2 * len(PROMPTS)
    # Between two runs the weights may have changed.
    runner.model.words.weight.neg_()
    changed = runner.test()
    assert sum(calls) == 4 * len(PROMPTS)
    assert changed != before


def test_wrong_prompts(tmp_path):
    wrong = [
        (PROMPTS[:2], 'are 2 pairs of prompts, but AttributeImages has 3'),
        (['no hat', *PROMPTS[:2]], "sentence for each attribute; got 'no hat"),
        ([('a', 'b', 'c')], r"got \('a', 'b', 'c'\)"),
        ([], "got 'none'"),
    ]
    for prompts, message in wrong:
        with pytest.raises(ValueError, match=message):
            attribute_runner(tmp_path, prompts).test()
    with pytest.raises(ValueError, match='Of the 4 samples of a batch only 0'):
        attribute_runner(tmp_path, images=False).test()

    def cut(results):
        return dict(worker.words_of(results), caption_cut=True)

    with pytest.raises(
        ValueError, match=r'6 prompts are too long .*"no thing'
    ):
        attribute_runner(tmp_path, words=cut).test()


def test_features_are_those_of_the_model(tmp_path):
    """Baseline numbers equal those of the ordinary loop."""
    found = runner_of(tmp_path, 'test').test()
    plain = runner_of(
        tmp_path, 'test', dict(type='mmtpr.PersonRetrievalMetric'), loop=False
    ).test()
    assert {k: found[f'cosine/{k}'] for k in plain} == pytest.approx(plain)
