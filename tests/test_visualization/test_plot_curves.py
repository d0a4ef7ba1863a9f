"""tools/analysis/plot_curves.py on files that a metric wrote."""

import csv
import json

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from PIL import Image

from mmtpr.evaluation import rank_metrics, read_ranking
from mmtpr.evaluation.metrics.ranking_file import (
    first_ranks,
    query_rows,
    saved_ranking,
)
from mmtpr.structures import RetrievalDataSample

QUERIES, GALLERY = 12, 40


@pytest.fixture
def tool(load_tool):
    return load_tool('plot_curves')


def features(seed):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(QUERIES + GALLERY, 8, generator=generator)
    return torch.nn.functional.normalize(values, dim=-1)


def write(path, seed=0, **options):
    """Rank; the person of query 3 is not in the gallery."""
    samples = []
    for number, vector in enumerate(features(seed)):
        query = number < QUERIES
        pid = 99 if number == 3 else number % 4
        facts = dict(role='query' if query else 'gallery', pid=pid)
        facts['img_path'] = None if query else f'{number}.jpg'
        facts['caption'] = f'he, "{number}"' if query else None
        sample = RetrievalDataSample(metainfo=facts)
        sample.features = vector if query else vector[None]
        samples.append(sample)
    metric = dict(type='mmtpr.PersonRetrievalMetric', on_missing='skip')
    evaluator = Evaluator(dict(metric, save_ranking=str(path), **options))
    evaluator.process(samples, None)
    evaluator.evaluate(len(samples))
    return path


def test_ranks_of_all_positives_are_saved(tmp_path):
    content = read_ranking(write(tmp_path / 'a.json', save_topk=1))
    vectors = features(0)
    scores = vectors[:QUERIES] @ vectors[QUERIES:].t()
    pids = [99 if i == 3 else i % 4 for i in range(QUERIES + GALLERY)]
    expected = rank_metrics(
        scores, pids[:QUERIES], pids[QUERIES:], (1, 20), on_missing='skip'
    )
    found = saved_ranking(content).metrics((1, 20))
    assert found == pytest.approx(expected)
    assert content['queries'][3]['right_ranks'] == []
    assert first_ranks(content).isnan().nonzero().tolist() == [[3]]
    assert all(len(q['ranking']) == 1 for q in content['queries'])


def test_csv(tool, tmp_path):
    file = write(tmp_path / 'a.json')
    other = write(tmp_path / 'b.json', seed=1)
    out = tmp_path / 'x/queries.csv'
    tool(
        *(file, other, '--csv', out, '--csv-paths', 2),
        *('--out', tmp_path / 'a.png', '--labels', 'A', 'B'),
    )
    with out.open(newline='') as text:
        rows = list(csv.DictReader(text))
    assert [row['run'] for row in rows] == ['A'] * QUERIES + ['B'] * QUERIES
    for row, query in zip(rows, read_ranking(file)['queries'], strict=False):
        assert row['query'] == query['caption']
        assert int(row['id']) == query['id']
        paths = [item['img_path'] for item in query['ranking'][:2]]
        assert [row['path_1'], row['path_2']] == paths
        assert int(row['num_right']) == (10 if query['id'] != 99 else 0)
        if query['id'] == 99:
            assert row['first_rank'] == row['AP'] == ''
        else:
            assert int(row['first_rank']) == query['right_ranks'][0]
            precision = [
                i / rank for i, rank in enumerate(query['right_ranks'], 1)
            ]
            assert float(row['AP']) == pytest.approx(np.mean(precision))
    assert 'path_3' not in rows[0]


def test_drawing(tool, tmp_path, capsys):
    file = write(tmp_path / 'a.json')
    other = write(tmp_path / 'b.json', seed=1, save_topk=2)
    out = tmp_path / 'x/out.png'
    tool(file, other, '--out', out, '--max-rank', 30)
    told = capsys.readouterr().out
    assert 'a: 12 queries, R@1 ' in told
    assert 'b: 1 queries have no right item; left out.' in told
    assert '2 panels of 2 runs' in told
    assert 'Not measured' not in told
    drawn = np.asarray(Image.open(out).convert('RGB')).reshape(-1, 3)
    for colour in ((31, 119, 180), (255, 127, 14)):
        assert (drawn == colour).all(1).sum() > 500
    tool(file, '--out', tmp_path / 'out.pdf')
    assert (tmp_path / 'out.pdf').read_bytes().startswith(b'%PDF')


def test_a_file_without_all_ranks(tool, tmp_path, capsys):
    """CMC needs the first rank alone; nothing is made up for the rest."""
    file = write(tmp_path / 'a.json')
    content = json.loads(file.read_text())
    for query in content['queries']:
        del query['right_ranks']
    (tmp_path / 'old.json').write_text(json.dumps(content))
    out = (tmp_path / 'out.csv', '--out', tmp_path / 'out.png')
    tool(tmp_path / 'old.json', '--csv', *out)
    told = capsys.readouterr().out
    assert 'old: no precision-recall curve' in told
    assert '1 panels of 1 runs' in told
    assert saved_ranking(content) is None
    rows = query_rows(content)
    assert {row['num_right'] for row in rows} == {''}
    assert rows[0]['first_rank'] == content['queries'][0]['first_rank']


def test_runs_that_cannot_be_compared(tool, tmp_path, capsys):
    file = write(tmp_path / 'a.json')
    content = json.loads(file.read_text())
    content['ties'] = 'optimistic'
    content['queries'] = content['queries'][:5]
    (tmp_path / 'b.json').write_text(json.dumps(content))
    tool(file, tmp_path / 'b.json', '--out', tmp_path / 'out.png')
    told = capsys.readouterr().out
    assert 'ties differs: a: pessimistic, b: optimistic' in told
    assert 'the runs have different queries' in told


@pytest.mark.parametrize(
    ('key', 'value', 'text'),
    [
        ('first_rank', 0, 'Query 0 of the ranked lists has no rank from 1'),
        ('first_rank', 'x', 'Query 0 of the ranked lists has no rank from 1'),
        ('right_ranks', [], 'right_ranks of query 0 .* damaged'),
        ('right_ranks', [10**6], 'right_ranks of query 0 .* damaged'),
    ],
)
def test_damaged_files(tool, tmp_path, key, value, text):
    file = write(tmp_path / 'a.json')
    content = json.loads(file.read_text())
    content['queries'][0][key] = value
    file.write_text(json.dumps(content))
    with pytest.raises(SystemExit, match=text):
        tool(file, '--out', tmp_path / 'out.png')
    assert not (tmp_path / 'out.png').exists()


def test_messages(tool, tmp_path, capsys):
    file = write(tmp_path / 'a.json')
    out = tmp_path / 'out.png'
    with pytest.raises(SystemExit, match='does not exist'):
        tool(tmp_path / 'none.json', '--out', out)
    with pytest.raises(SystemExit, match='is read and would be written over'):
        tool(file, '--out', out, '--csv', file, '--overwrite')
    with pytest.raises(SystemExit):
        tool(file, '--max-rank', 0)
    assert '--max-rank must be at least 1' in capsys.readouterr().err
    out.write_text('mine')
    with pytest.raises(SystemExit, match=r'exists already; --overwrite'):
        tool(file, '--out', out)
    assert out.read_text() == 'mine'
