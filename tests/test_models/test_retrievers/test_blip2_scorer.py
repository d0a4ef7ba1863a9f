"""BLIP-2 scores relevance through the same door as any retriever."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose

import mmtpr.datasets  # noqa: F401
from mmtpr.filtering import relevance_rank
from mmtpr.filtering.scorer import RetrieverScorer
from mmtpr.models.adapters import inject_adapters
from mmtpr.registry import MODELS
from mmtpr.testing import tiny_blip2_cfg, write_tiny_vocab

pytest.importorskip(
    'transformers', reason='BLIP-2 needs the extra [blip2] (transformers)'
)


@pytest.fixture
def model():
    torch.manual_seed(0)
    cfg = dict(type='mmtpr.BLIP2Scorer', encoder=tiny_blip2_cfg())
    return MODELS.build(Config(dict(model=cfg)).model).eval()


@pytest.fixture
def pipeline(tmp_path):
    vocab = write_tiny_vocab(tmp_path / 'vocab.txt')
    load = [
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=(28, 28), interpolation='bicubic'),
    ]
    return Compose(
        [
            dict(type='mmtpr.ImageTransforms', transforms=load),
            dict(type='mmtpr.TokenizeBert', vocab=vocab, max_length=12),
            dict(type='mmtpr.PackRetrievalInputs'),
        ]
    )


@pytest.fixture
def samples(tmp_path):
    rng = np.random.default_rng(0)
    samples = []
    for i in range(5):
        path = tmp_path / f'{i}.png'
        cv2.imwrite(str(path), rng.integers(0, 255, (60, 30, 3), np.uint8))
        samples.append(dict(role='train', img_path=str(path), pid=i))
    return samples


CAPTIONS = [
    'a man in red',
    'a woman wearing a blue skirt and a hat',
    'the person with a bag',
    'black shoes',
    'white trousers',
]


def test_relevance_of_pairs(model, pipeline, samples):
    scorer = RetrieverScorer(model, pipeline, batch_size=2)
    tokens, broken = scorer.embed_images(samples)
    texts = scorer.embed_captions(CAPTIONS)
    assert not broken
    assert tokens.shape == (5, 8, 32)
    assert texts.shape == (5, 32)
    for feats in (tokens, texts):
        torch.testing.assert_close(
            feats.norm(dim=-1), torch.ones(feats.shape[:-1])
        )
    packed = pipeline(dict(samples[3]))
    image = packed['inputs']['image'].flip(0).float()[None]
    image = (image - model.data_preprocessor.mean) / (
        model.data_preprocessor.std
    )
    with torch.inference_mode():
        alone = model.encoder.encode_target(image)[0]
    torch.testing.assert_close(tokens[3], alone, atol=1e-5, rtol=1e-5)
    # The first caption is the bank's best for its own image or not.
    rank = relevance_rank(tokens, texts, texts[:3])
    relevance = (tokens @ texts.t()).amax(1)
    wanted = 1 + (relevance[:, :3] >= relevance.diagonal()[:, None]).sum(1)
    assert torch.equal(rank, wanted)


def test_amp_stays_close(model, pipeline, samples):
    full = RetrieverScorer(model, pipeline).embed_images(samples)[0]
    half = RetrieverScorer(model, pipeline, amp=True).embed_images(samples)[0]
    assert half.dtype == torch.float32
    assert (full * half).sum(-1).min() > 0.99


def test_predict_gives_features_to_samples(model, pipeline, samples):
    query = dict(role='query', caption=CAPTIONS[0], pid=0)
    gallery = dict(samples[0], role='gallery')
    packed = [pipeline(query), pipeline(gallery)]
    batch = dict(
        inputs=dict(image=[p['inputs']['image'] for p in packed]),
        data_samples=[p['data_samples'] for p in packed],
    )
    first, second = model.test_step(batch)
    assert first.features.shape == (32,)
    assert second.features.shape == (8, 32)


def test_training_is_refused(model):
    with pytest.raises(RuntimeError, match='does not train'):
        model(dict(), [], mode='loss')


def test_published_relevance_is_reached_through_the_scorer(
    model, private_parity
):
    path = private_parity('fafa_blip2_mini.pt')
    case = torch.load(path, weights_only=True)
    encoder = tiny_blip2_cfg(
        model=dict(
            vision_config=dict(
                hidden_size=48,
                intermediate_size=209,
                num_hidden_layers=2,
                num_attention_heads=4,
                image_size=28,
            ),
            qformer_config=dict(
                hidden_size=64,
                intermediate_size=128,
                num_hidden_layers=4,
                num_attention_heads=4,
                max_position_embeddings=64,
                vocab_size=700,
            ),
            num_query_tokens=8,
            image_text_hidden_size=32,
        ),
        pretrained=str(path),
    )
    scorer = MODELS.build(dict(type='mmtpr.BLIP2Scorer', encoder=encoder))
    inject_adapters(
        scorer,
        dict(type='WoRA', rank=4),
        [dict(type=r'encoder\.blip2\.qformer\..*\.query')],
    )
    with torch.inference_mode():
        tokens = scorer.eval().extract_image_feat(case['reference'])
        texts = scorer.extract_text_feat(case['text_ids'])
    torch.testing.assert_close(
        (tokens @ texts.t()).amax(1), case['relevance'], atol=1e-5, rtol=1e-5
    )
