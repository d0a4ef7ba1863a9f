"""Whatever takes long counts up to all that there is to do."""

import numpy as np
import torch

from mmtpr.apis.embedding import embed_gallery
from mmtpr.datasets.annotations.images import inspect_images
from mmtpr.evaluation import PairScorer
from mmtpr.synthesis import ToySettings, write_toy_data
from mmtpr.testing import write_tiny_cuhk


def test_drawing_and_decoding(counted, tmp_path):
    seen = counted('synthesis.writer')
    small = ToySettings(
        size=(32, 16), train=3, val=2, test=2, pretrain=4, views=2
    )
    write_toy_data(tmp_path / 'toy', small)
    total, done = seen['Drawing images']
    assert total == done > 0
    seen = counted('datasets.annotations.images')
    root = write_tiny_cuhk(tmp_path / 'cuhk')
    paths = [*map(str, root.glob('imgs/**/*.*'))]
    inspect_images(paths, 2)
    assert seen['Decoding images'] == [len(paths)] * 2


def test_embedding_a_gallery(counted, tmp_path):
    seen = counted('apis.embedding')

    class Sample:
        features = torch.ones(1, 3)

    class Model:
        def test_step(self, batch):
            return batch

    embed_gallery(
        [f'{i}.png' for i in range(5)],
        lambda entry: Sample(),
        list,
        Model(),
        batch_size=2,
    )
    assert list(seen.values()) == [[5, 5]]


class Cross(torch.nn.Module):
    """The least that a PairScorer takes."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def encode_text(self, tokens, mask):
        return tokens.float(), tokens[..., None].float()

    def image_keys_values(self, images):
        return images

    def itm_scores(self, states, mask, keys_values):
        return states.sum((1, 2)) + keys_values.sum((1, 2))


def test_scoring_pairs(counted):
    seen = counted('evaluation.reranking.pair_scorer')
    tokens = torch.arange(1, 29).view(7, 4)
    index = torch.from_numpy(
        np.random.default_rng(0).permuted(
            np.tile(np.arange(6), (7, 1)), axis=1
        )
    )[:, :3]
    scorer = PairScorer(Cross(), 3, 2, 4, 2)
    scores = scorer(
        torch.ones(6, 1, 1), tokens, torch.ones_like(tokens), index
    )
    torch.testing.assert_close(
        scores, (tokens.sum(1)[:, None] + 1).float().expand(7, 3)
    )
    assert seen == {'Scoring pairs': [21, 21]}
