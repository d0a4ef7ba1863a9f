"""PersonRetrievalInferencer with a photo and a sentence."""

import os

import pytest
import torch
from gallery_model import write_composed_model
from mmengine.logging import MMLogger
from PIL import Image

from mmtpr.apis import PersonRetrievalInferencer, list_images
from mmtpr.testing import write_tiny_cuhk


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp('composed_inferencer')
    write_tiny_cuhk(folder / 'data')
    write_composed_model(folder)
    return folder


@pytest.fixture(scope='module')
def inferencer(place):
    return PersonRetrievalInferencer(
        str(place / 'config.py'),
        str(place / 'model.pth'),
        gallery=str(place / 'data/imgs'),
        device='cpu',
    )


@pytest.fixture(scope='module')
def queries(place):
    images = list_images(place / 'data/imgs')
    captions = ('now in a red top', 'with blue trousers instead')
    return [
        dict(img_path=path, caption=caption)
        for path, caption in zip(images[3:5], captions, strict=True)
    ]


def test_ranking_is_that_of_the_query_and_the_best_tokens(inferencer, queries):
    found = inferencer(queries, num_results=5)['predictions']
    assert inferencer.topk_tokens == 3
    index = inferencer.index
    assert index.features.shape == (22, 8, 32)
    data = [inferencer.pipeline(query) for query in queries]
    data = inferencer.model.data_preprocessor(inferencer.collate_fn(data))
    with torch.no_grad():
        vectors = inferencer.model.extract_query_feat(
            data['inputs']['image'], data['inputs']['tokens']
        )
    for query, vector, result in zip(queries, vectors, found, strict=True):
        scores = (index.features @ vector).topk(3, dim=1).values.mean(1)
        best = scores.topk(5)
        assert result['query'] == query['caption']
        assert result['reference'] == query['img_path']
        assert result['paths'] == [index.paths[i] for i in best.indices]
        assert result['scores'] == pytest.approx(best.values.tolist())


def test_the_image_and_the_sentence_both_matter(inferencer, queries):
    first, second = queries
    crossed = dict(first, caption=second['caption'])
    moved = dict(first, img_path=second['img_path'])
    scores = [
        inferencer(query, num_results=99)['predictions'][0]['scores'][0]
        for query in (first, crossed, moved)
    ]
    assert len(set(scores)) == 3


def test_the_own_image_may_be_left_out(inferencer, queries, monkeypatch):
    query = queries[0]
    folder, name = os.path.split(query['img_path'])
    whole = inferencer(query, num_results=99)['predictions'][0]
    assert query['img_path'] in whole['paths']
    monkeypatch.chdir(folder)  # the same file by another name
    query = dict(query, img_path=name)
    rest = inferencer(query, num_results=99, exclude_reference=True)
    rest = rest['predictions'][0]
    assert len(rest['paths']) == 21
    assert rest['paths'] == [
        path for path in whole['paths'] if os.path.basename(path) != name
    ]


def test_the_reference_is_drawn(inferencer, queries, tmp_path):
    one = inferencer(queries[0], num_results=3, out_dir=tmp_path / 'a')
    (drawn,) = one['visualization']
    assert os.listdir(tmp_path / 'a') == ['000_now_in_a_red_top.png']
    with Image.open(tmp_path / 'a/000_now_in_a_red_top.png') as saved:
        assert saved.size == drawn.shape[1::-1]
    layout = inferencer.visualizer.layout
    # A column for the reference, and one for each result.
    assert drawn.shape[1] >= 4 * (layout.width + 2 * layout.frame)


def test_long_sentences_are_told_of(inferencer, queries, tmp_path):
    file = tmp_path / 'log.txt'
    MMLogger.get_instance(f'composed {tmp_path}', log_file=str(file))
    inferencer([dict(queries[0], caption='red ' * 40), queries[1]])
    lines = file.read_text().splitlines()
    assert sum('is too long for the text tower' in line for line in lines) == 1


def test_messages(inferencer, queries, place):
    query = queries[0]
    with pytest.raises(ValueError, match='takes a reference image with a'):
        inferencer('now in a red top')
    for wrong in ({}, dict(caption='a man'), dict(query, pid=3)):
        with pytest.raises(ValueError, match=r"is dict\(img_path='photo.jpg'"):
            inferencer([query, wrong])
    with pytest.raises(ValueError, match='A query is a sentence with words'):
        inferencer(dict(query, caption=' '))
    with pytest.raises(FileNotFoundError, match=r'absent\.jpg'):
        inferencer(dict(query, img_path='absent.jpg'))
    with pytest.raises(ValueError, match='num_results must be at least 1'):
        inferencer(query, num_results=0)


def vectors_of(inferencer, *queries):
    """Vectors of queries as the model predicts them."""
    data = [inferencer.pipeline(query) for query in queries]
    samples = inferencer.model.test_step(inferencer.collate_fn(data))
    return torch.stack([sample.features for sample in samples])


def test_several_references_are_the_mean_of_the_queries(inferencer, queries):
    first, second = queries
    other = dict(first, img_path=second['img_path'])
    several = dict(first, img_path=[first['img_path'], other['img_path']])
    one, two, second_alone = vectors_of(inferencer, first, other, second)
    # In one batch with others; these stay as they were.
    mean, beside = vectors_of(inferencer, several, second)
    torch.testing.assert_close(beside, second_alone)
    wanted = torch.nn.functional.normalize(one + two, dim=-1)
    torch.testing.assert_close(mean, wanted)
    found = inferencer(several, num_results=99, exclude_reference=True)
    (found,) = found['predictions']
    assert found['reference'] == several['img_path']
    assert len(found['paths']) == len(inferencer.index.paths) - 2
    assert not set(found['paths']) & set(several['img_path'])
    alone = dict(first, img_path=[first['img_path']])
    assert inferencer(alone)['predictions'] == inferencer(first)['predictions']


def test_what_is_not_wanted_is_subtracted(inferencer, queries, tmp_path):
    query = queries[0]
    unwanted = dict(query, caption='with a white hat')
    without = dict(query, negative_text='with a white hat')
    q, n = vectors_of(inferencer, query, unwanted)
    for more, weight in (({}, 0.5), (dict(negative_weight=0.8), 0.8)):
        (found,) = vectors_of(inferencer, without | more)
        wanted = torch.nn.functional.normalize(q - weight * n, dim=-1)
        torch.testing.assert_close(found, wanted)
    # Of a batch some say it, and some do not.
    unsaid = dict(query, negative_text=None, negative_weight=None)
    mixed = vectors_of(inferencer, without, unsaid)
    torch.testing.assert_close(mixed[0], vectors_of(inferencer, without)[0])
    torch.testing.assert_close(mixed[1], q)
    asked = inferencer([without, query])['predictions']
    assert asked[0]['negative_text'] == 'with a white hat'
    assert asked[0]['negative_weight'] == 0.5
    assert 'negative_text' not in asked[1]
    found = inferencer(without, out_dir=tmp_path)['predictions'][0]
    assert found['scores'] != inferencer(query)['predictions'][0]['scores']
    several = dict(without, img_path=[q['img_path'] for q in queries])
    found = inferencer(several, out_dir=tmp_path)  # drawn with the first
    assert found['visualization'][0].ndim == 3


def test_negatives_that_say_nothing_are_explained(inferencer, queries):
    for more, why in (
        (dict(negative_text=' '), 'a sentence with words'),
        (dict(negative_weight=0.5), 'without negative_text'),
        (dict(negative_text='a', negative_weight=-1), 'a positive number'),
        (dict(img_path=['a.jpg', '']), 'has no path'),
        (dict(img_path=[]), 'A query is'),
        (dict(img_path=5), 'a path or a list of paths'),
        (dict(img_path=['a.jpg', 5]), 'a path or a list of paths'),
        (dict(negative_text='a \ud800'), 'a lone surrogate'),
        (dict(negative='a'), 'A query is'),
    ):
        with pytest.raises(ValueError, match=why):
            inferencer(queries[0] | more)
