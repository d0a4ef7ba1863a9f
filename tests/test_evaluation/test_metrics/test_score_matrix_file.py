"""The score matrix of a run, as other evaluators read it."""

import zipfile
from collections import namedtuple

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator

from mmtpr.evaluation import read_score_matrix, similarity_blocks
from mmtpr.evaluation.metrics import score_matrix_file
from mmtpr.evaluation.metrics.score_matrix_file import write_score_matrix
from mmtpr.structures import RetrievalDataSample
from mmtpr.utils.errors import LaunchError


def run_samples(tokens=3, rows=()):
    generator = torch.Generator().manual_seed(0)
    samples = []
    for i in range(41):
        role = 'query' if i < 11 else 'gallery'
        meta = dict(role=role, pid=i % 4, instance_id=i % 3 - (i > 35))
        meta['img_path'] = f'root/{i % 14}é.jpg'
        if role == 'query':
            meta['caption'] = f'person {i}'
        if i == 2:
            weight = np.float32(0.75)
            meta |= dict(negative_text='a hat', negative_weight=weight)
        elif i == 5:
            meta['negative_text'] = 'in red'
        samples.append(RetrievalDataSample(metainfo=meta))
        shape = (8,) if role == 'query' else (tokens, 8)
        samples[-1].features = torch.randn(*shape, generator=generator)
        for row in rows:
            draw = torch.randn(8, generator=generator)
            setattr(samples[-1], f'features_{row}', draw)
    return samples


def evaluate(samples, kind='PersonRetrievalMetric', **kwargs):
    evaluator = Evaluator(dict(type=f'mmtpr.{kind}', **kwargs))
    evaluator.process(samples, None)
    return evaluator.evaluate(len(samples))


def other_evaluator(matrix):
    """R@1 and mAP by sorting, from what is in the file alone."""
    first, precisions = [], []
    for row, who in zip(matrix.scores, matrix.query_ids, strict=True):
        met = row > -np.inf
        order = np.argsort(-row[met].astype(float), kind='stable')
        right = (matrix.gallery_ids[met] == who)[order]
        right &= ~np.isin(who, matrix.ignore_ids)
        first.append(right[0])
        ranks = np.flatnonzero(right) + 1
        precisions.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
    return 100 * np.mean(first), 100 * np.mean(precisions)


@pytest.mark.parametrize('chunk', [None, 3])
@pytest.mark.parametrize('same', [False, True])
@pytest.mark.parametrize('kind', ['Person', 'Composed'])
def test_another_evaluator_finds_the_same_numbers(kind, same, chunk, tmp_path):
    rows = ('image',) if kind == 'Composed' else ()
    path = tmp_path / 'new/scores.npz'
    options = dict(
        save_scores=str(path),
        topk_tokens=2,
        exclude_same_image=same,
        chunk_size=chunk,
        match_key='instance_id',
    )
    if rows:
        options['rows'] = rows
    samples = run_samples(rows=rows)
    numbers = evaluate(samples, f'{kind}RetrievalMetric', **options)
    matrix = read_score_matrix(path)
    assert matrix.scores.shape == (11, 30)
    assert matrix.scores.dtype == np.float32
    assert matrix.match_key == 'instance_id'
    found = other_evaluator(matrix)
    assert found == pytest.approx((numbers['R@1'], numbers['mAP']), abs=1e-4)
    assert matrix.query_captions.tolist() == [f'person {i}' for i in range(11)]
    negatives = {2: ('a hat', 0.75), 5: ('in red', 0.5)}
    told = zip(matrix.query_negatives, matrix.negative_weights, strict=True)
    assert [*told] == [negatives.get(i, ('', 0)) for i in range(11)]
    assert matrix.query_images[3] == 'root/3é.jpg'
    assert matrix.gallery_images[0] == 'root/11é.jpg'
    hidden = matrix.scores == -np.inf
    own = matrix.query_images[:, None] == matrix.gallery_images[None]
    assert (hidden == (own if same else False)).all()
    # Whoever has but numpy reads it as well.
    with np.load(path) as plain:
        np.testing.assert_array_equal(plain['scores'], matrix.scores)


def test_half_precision_halves_the_file_and_not_the_numbers(tmp_path):
    samples = run_samples()
    paths = [tmp_path / f'{name}.npz' for name in ('float32', 'float16')]
    for path in paths:
        evaluate(samples, save_scores=str(path), scores_dtype=path.stem)
    whole, half = map(read_score_matrix, paths)
    assert half.scores.dtype == np.float16
    np.testing.assert_allclose(half.scores, whole.scores, atol=1e-3)
    assert paths[0].stat().st_size - paths[1].stat().st_size == 2 * 11 * 30


def test_the_size_is_said_before_and_room_is_looked_for(tmp_path, monkeypatch):
    path = tmp_path / 'scores.npz'
    said = []
    monkeypatch.setattr(
        score_matrix_file, 'print_log', lambda text, **_: said.append(text)
    )
    usage = namedtuple('usage', 'total used free')
    monkeypatch.setattr(
        score_matrix_file.shutil, 'disk_usage', lambda _: usage(9, 9, 1000)
    )
    with pytest.raises(LaunchError, match=r'0\.0 MB left.*float16'):
        evaluate(run_samples(), save_scores=str(path))
    assert '11 queries x 30 items' in said[0]
    assert not list(tmp_path.iterdir())


def test_memory_holds_a_block(tmp_path, monkeypatch):
    """No array larger than a block of the matrix passes."""
    queries = [dict(id=i, caption='', img_path=None) for i in range(64)]
    gallery = [dict(id=i, img_path='a') for i in range(50)]
    vectors = torch.randn(64, 4), torch.randn(50, 4)
    seen = []
    write = score_matrix_file._write

    def watched(packed, name, dtype, shape, parts):
        def each():
            for part in parts:
                seen.append(part.size)
                yield part

        write(packed, name, dtype, shape, each())

    monkeypatch.setattr(score_matrix_file, '_write', watched)
    path = tmp_path / 'scores.npz'
    write_score_matrix(
        path, similarity_blocks(*vectors, 1, 8), queries, gallery, 'pid'
    )
    assert max(seen) == 8 * 50
    np.testing.assert_allclose(
        read_score_matrix(path).scores, vectors[0] @ vectors[1].T, atol=1e-5
    )


def test_a_matrix_with_a_hole_is_not_written(tmp_path):
    queries = [dict(id=i, caption='', img_path=None) for i in range(4)]
    gallery = [dict(id=i, img_path='a') for i in range(3)]
    path = tmp_path / 'scores.npz'
    for blocks in ([(0, torch.ones(2, 3))], [(2, torch.ones(2, 3))]):
        with pytest.raises(ValueError, match=r'of 4 queries|from 0 on'):
            write_score_matrix(path, blocks, queries, gallery, 'pid')
        assert not path.exists()


def test_wrong_use_and_files_of_others_are_explained(tmp_path):
    with pytest.raises(ValueError, match=r'save_scores must be a .npz file'):
        evaluate(run_samples(), save_scores='scores.txt')
    with pytest.raises(ValueError, match='scores_dtype must be one of'):
        evaluate(run_samples(), scores_dtype='int8')
    with pytest.raises(FileNotFoundError, match='no file of scores'):
        read_score_matrix(tmp_path / 'none.npz')
    path = tmp_path / 'other.npz'
    np.savez(path, a=np.zeros(2))
    with pytest.raises(ValueError, match='not a file of scores'):
        read_score_matrix(path)
    path.write_bytes(b'PK nothing')
    with pytest.raises(ValueError, match='or is damaged'):
        read_score_matrix(path)
    good = tmp_path / 'good.npz'
    evaluate(run_samples(), save_scores=str(good))
    with np.load(good) as file:
        parts = {name: file[name] for name in file.files}
    for change in (dict(more=parts['scores']), dict(match_key=None)):
        kept = {**parts, **change}
        np.savez(path, **{k: v for k, v in kept.items() if v is not None})
        with pytest.raises(ValueError, match='not a file of scores'):
            read_score_matrix(path)
    damaged = dict(
        scores=parts['scores'][:5],
        query_captions=parts['query_captions'][1:],
        negative_weights=parts['negative_weights'][1:],
        gallery_images=parts['gallery_images'][1:],
    )
    for name, value in damaged.items():
        np.savez(path, **{**parts, name: value})
        told = f'{name} of shape .* for 11 queries and 30 items'
        with pytest.raises(ValueError, match=told):
            read_score_matrix(path)
    for name, value in (
        ('query_ids', np.array(3)),
        ('gallery_ids', parts['gallery_ids'][:, None]),
        ('scores', parts['scores'].astype(str)),
        ('ignore_ids', np.array(['1'])),
    ):
        np.savez(path, **{**parts, name: value})
        with pytest.raises(ValueError, match=f' as {name}; the file is dam'):
            read_score_matrix(path)
    with zipfile.ZipFile(path, 'w') as file:
        file.writestr('version', '2')
    with pytest.raises(ValueError, match='or is damaged: version is no array'):
        read_score_matrix(path)
    with open(path, 'wb') as file:
        np.save(file, parts['scores'])
    with pytest.raises(ValueError, match='or is damaged: it holds one array'):
        read_score_matrix(path)


def test_files_of_version_1_say_nothing_of_negatives(tmp_path):
    path = tmp_path / 'scores.npz'
    evaluate(run_samples(), save_scores=str(path))
    with np.load(path) as file:
        parts = {name: file[name] for name in file.files}
    del parts['query_negatives'], parts['negative_weights']
    np.savez(path, **{**parts, 'version': np.array(1)})
    matrix = read_score_matrix(path)
    assert matrix.query_negatives.tolist() == [''] * 11
    assert matrix.negative_weights.tolist() == [0] * 11
    np.savez(path, **{**parts, 'version': np.array(3)})
    with pytest.raises(ValueError, match='not a file of scores of version 2'):
        read_score_matrix(path)
