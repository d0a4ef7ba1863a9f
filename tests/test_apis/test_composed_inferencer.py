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
