"""Several embeddings of a retriever: joined, trained, and evaluated."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.dataset import pseudo_collate
from mmengine.optim import OptimWrapper

from mmtpr.models import RetrievalDataPreprocessor
from mmtpr.models.losses import tal_loss
from mmtpr.models.retrievers import join_embeddings, pair_losses
from mmtpr.registry import METRICS, MODELS
from mmtpr.structures import RetrievalDataSample
from mmtpr.testing import tiny_encoder_cfg, tiny_swin_bert_cfg
from mmtpr.utils.warn import heard_warnings

ENCODER = tiny_encoder_cfg(vocab_size=100, context_length=12)
NECK = dict(
    type='mmtpr.TokenSelection', embed_dim=48, hidden_dim=24, ratio=0.4
)
TAL = dict(type='mmtpr.TALLoss')
SIZE = 6


def build(weight=1.0, losses=None, **kwargs):
    torch.manual_seed(0)
    losses = losses or dict(bge=TAL, tse=dict(TAL, embedding='tse'))
    cfg = dict(
        type='mmtpr.TextPersonRetriever',
        encoder=ENCODER,
        losses=losses,
        necks=dict(tse=dict(NECK, weight=weight)),
    )
    return MODELS.build(cfg | kwargs)


def sample(i, label_hat=None, **meta):
    meta = dict(pid=i // 2, image_id=i, img_path='a.png', **meta)
    if label_hat is not None:
        meta['label_hat'] = label_hat
    found = RetrievalDataSample(metainfo=meta)
    tokens = torch.randint(1, 98, (12,))
    tokens[4 + i], tokens[5 + i :] = 99, 0
    found.tokens = tokens
    return found


def pairs(label_hat=None):
    torch.manual_seed(1)
    images = torch.randint(0, 256, (SIZE, 3, 64, 32), dtype=torch.uint8)
    labels = label_hat or [None] * SIZE
    return pseudo_collate(
        [
            dict(
                inputs=dict(image=image),
                data_samples=sample(i, labels[i], role='train'),
            )
            for i, image in enumerate(images)
        ]
    )


class TestJoining:
    def test_one_dot_product_is_the_weighted_mean_of_cosines(self):
        torch.manual_seed(0)
        texts = [torch.randn(5, n) for n in (8, 3, 6)]
        images = [torch.randn(7, n) for n in (8, 3, 6)]
        weights = [2.0, 1.0, 0.5]
        joined = [join_embeddings(x, weights) for x in (texts, images)]
        wanted = sum(
            w / 3.5 * F.normalize(t, dim=1) @ F.normalize(i, dim=1).t()
            for w, t, i in zip(weights, texts, images, strict=True)
        )
        torch.testing.assert_close(joined[0] @ joined[1].t(), wanted)
        for rows in joined:
            assert rows.shape[1] == 17
            torch.testing.assert_close(rows.norm(dim=1), torch.ones(len(rows)))

    def test_one_embedding_is_left_as_it_is(self):
        feats = torch.randn(5, 8)
        joined = join_embeddings([feats], [0.3])
        assert torch.equal(joined, F.normalize(feats, dim=1))

    def test_a_weight_of_zero_leaves_an_embedding_out(self):
        one, other = torch.randn(5, 8), torch.randn(5, 3)
        joined = join_embeddings([one, other], [0.0, 2.0])
        assert torch.equal(joined, F.normalize(other, dim=1))

    def test_tokens_stay_tokens(self):
        """The best token of a part, and one vector of the other."""
        torch.manual_seed(0)
        tokens, single = torch.randn(4, 3, 8), torch.randn(4, 1, 5)
        query = [torch.randn(2, 8), torch.randn(2, 5)]
        image = join_embeddings([tokens, single], [1.0, 1.0])
        assert image.shape == (4, 3, 13)
        text = join_embeddings(query, [1.0, 1.0])
        scores = torch.einsum('kd,mtd->kmt', text, image).amax(2)
        best = torch.einsum(
            'kd,mtd->kmt',
            F.normalize(query[0], dim=1),
            F.normalize(tokens, dim=2),
        ).amax(2)
        rest = (
            F.normalize(query[1], dim=1) @ F.normalize(single[:, 0], dim=1).t()
        )
        torch.testing.assert_close(scores, (best + rest) / 2)

    def test_half_precision_is_cast_up(self):
        parts = [torch.randn(3, 8).half(), torch.randn(3, 4).bfloat16()]
        assert join_embeddings(parts, [1.0, 1.0]).dtype == torch.float32

    @pytest.mark.parametrize('weights', [[0.0, 0.0], [1.0, -0.1]])
    def test_weights_that_make_no_mean(self, weights):
        with pytest.raises(ValueError, match='one must be positive'):
            join_embeddings([torch.ones(1, 2)] * 2, weights)


def test_losses_are_taken_of_their_embeddings():
    model = build().train()
    data = model.data_preprocessor(pairs(), True)
    losses = model(**data, mode='loss')
    assert set(losses) == {'loss_bge', 'loss_tse'}
    image = model.encoder.attend_image(data['inputs']['image'])
    text = model.encoder.attend_text(data['inputs']['tokens'])
    neck, pids = model.necks['tse'], torch.arange(SIZE) // 2
    wanted = dict(
        loss_bge=tal_loss(image.features, text.features, pids),
        loss_tse=tal_loss(
            neck.embed_image(image), neck.embed_text(text), pids
        ),
    )
    for name, value in wanted.items():
        torch.testing.assert_close(losses[name], value)
    assert wanted['loss_bge'] != wanted['loss_tse']


def test_every_parameter_is_trained():
    model = build().train()
    data = model.data_preprocessor(pairs(), True)
    sum(model(**data, mode='loss').values()).backward()
    without = [
        n
        for n, p in model.named_parameters()
        if p.requires_grad and p.grad is None
    ]
    assert not without


def test_it_learns():
    model = build().train()
    wrapper = OptimWrapper(torch.optim.Adam(model.parameters(), 1e-3))
    first = model.train_step(pairs(), wrapper)
    for _ in range(25):
        last = model.train_step(pairs(), wrapper)
    for name in ('loss_bge', 'loss_tse'):
        assert last[name] < 0.7 * first[name]


def test_pairs_that_do_not_count_are_left_out():
    model = build().eval()
    label_hat = [1, 0, 1, 1, 0, 1]
    data = model.data_preprocessor(pairs(label_hat), True)
    with torch.no_grad():
        losses = model(**data, mode='loss')
    single = pair_losses(model, **data)
    assert set(single) == {'bge', 'tse'}
    for name, values in single.items():
        assert values.shape == (SIZE,)
        assert not values.requires_grad
        wanted = (values * torch.tensor(label_hat)).sum()
        torch.testing.assert_close(losses[f'loss_{name}'], wanted)
    whole = pair_losses(model, **model.data_preprocessor(pairs(), True))
    for name, values in whole.items():
        torch.testing.assert_close(values, single[name])


def test_losses_of_pairs_need_neither_training_mode_nor_a_whole_model():
    model = build(accumulate=3).eval()
    wanted = pair_losses(
        build().eval(), **model.data_preprocessor(pairs(), False)
    )
    got = pair_losses(model, **model.data_preprocessor(pairs(), True))
    for name, values in wanted.items():
        torch.testing.assert_close(got[name], values)
    sdm = build(losses=dict(sdm=dict(type='mmtpr.SDMLoss')))
    with pytest.raises(ValueError, match='None of the losses sdm of Text'):
        pair_losses(sdm, **sdm.data_preprocessor(pairs(), True))


def test_parts_of_a_batch_have_the_gradients_of_the_whole():
    """With the batch norms at rest, which see a part at a time."""
    grads = []
    for parts in (1, 3):
        with heard_warnings() as lines:
            model = build(accumulate=parts).train()
        assert len(lines) == (parts > 1)
        model.necks.eval()
        data = model.data_preprocessor(pairs([1, 0, 1, 1, 1, 0]), True)
        sum(model(**data, mode='loss').values()).backward()
        grads.append({n: p.grad for n, p in model.named_parameters()})
    assert '2 batch norms in encoder or necks' in lines[0]
    for name, grad in grads[0].items():
        if grad is not None:
            torch.testing.assert_close(
                grads[1][name], grad, atol=1e-4, rtol=1e-3
            )


def test_masked_words_and_selected_tokens_share_a_run():
    losses = dict(
        bge=TAL,
        tse=dict(TAL, embedding='tse'),
        mlm=dict(type='mmtpr.MLMLoss', layers=1),
        id=dict(type='mmtpr.IDLoss', num_classes=3, embedding='tse'),
    )
    model = build(losses=losses).train()
    # A loss of a neck is as wide as the neck.
    assert model.losses['id'].classifier.in_features == 48
    batch = pairs()
    for one in batch['data_samples']:
        one.mlm_tokens = one.tokens.clone()
        one.mlm_labels = torch.full((12,), -100)
        one.mlm_labels[1], one.mlm_tokens[1] = one.tokens[1], 98
    runs = []
    model.encoder.clip.visual.transformer.resblocks[0].register_forward_hook(
        lambda *_: runs.append(1)
    )
    found = model(**model.data_preprocessor(batch, True), mode='loss')
    assert set(found) == {f'loss_{name}' for name in losses}
    assert len(runs) == 1


@pytest.mark.parametrize('weight', [1.0, 0.25])
def test_the_metric_ranks_by_the_mean_of_both_cosines(weight):
    model = build(weight).eval()
    torch.manual_seed(2)
    samples, rows = [], []
    for i in range(SIZE):
        image = torch.randint(0, 256, (3, 64, 32), dtype=torch.uint8)
        found = sample(i, role='query')
        samples.append(dict(inputs=dict(image=None), data_samples=found))
        item = RetrievalDataSample(
            metainfo=dict(role='gallery', pid=i // 2, img_path=f'{i}.png')
        )
        samples.append(dict(inputs=dict(image=image), data_samples=item))
        rows.append(image)
    batch = pseudo_collate(samples)
    with torch.no_grad():
        done = model.test_step(batch)
        data = model.data_preprocessor(batch)['inputs']
        image = model.encoder.attend_image(data['image'])
        text = model.encoder.attend_text(data['tokens'])
        neck = model.necks['tse']
        ways = (
            (text.features, image.features, 1.0),
            (neck.embed_text(text), neck.embed_image(image), weight),
        )
    wanted = sum(
        share * F.normalize(t, dim=1) @ F.normalize(i, dim=1).t()
        for t, i, share in ways
    ) / (1 + weight)
    queries = torch.stack([s.features for s in done if s.role == 'query'])
    gallery = torch.stack([s.features for s in done if s.role == 'gallery'])
    assert gallery.shape == (SIZE, 1, 32 + 48)
    got = queries @ gallery[:, 0].t()
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-4)
    metric = METRICS.build(dict(type='mmtpr.PersonRetrievalMetric'))
    metric.process({}, [s.to_dict() for s in done])
    metrics = metric.evaluate(size=len(done))
    pids = torch.arange(SIZE) // 2
    order = wanted.argsort(dim=1, descending=True)
    first = (pids[order[:, 0]] == pids).float().mean().item()
    assert np.isclose(metrics['R@1'], 100 * first)


def test_either_embedding_may_be_ranked_alone():
    batch = pairs()
    whole = build().eval()
    alone = build(0.0).eval()
    selected = build(global_weight=0.0).eval()
    inputs = RetrievalDataPreprocessor()(batch)['inputs']
    with torch.no_grad():
        for kind in ('text', 'image'):
            name = dict(text='tokens', image='image')[kind]
            both, one, other = (
                getattr(m, f'extract_{kind}_feat')(inputs[name])
                for m in (whole, alone, selected)
            )
            assert (one.shape[-1], other.shape[-1]) == (32, 48)
            torch.testing.assert_close(both[..., :32] * 2**0.5, one)
            torch.testing.assert_close(both[..., 32:] * 2**0.5, other)


class TestBadInput:
    def test_a_loss_of_an_unknown_neck(self):
        losses = dict(tse=dict(TAL, embedding='token'))
        with pytest.raises(ValueError, match=r'"token", but the necks are: t'):
            build(losses=losses)
        with pytest.raises(ValueError, match='the necks are: none'):
            build(losses=losses, necks=None)

    def test_a_neck_without_type(self):
        with pytest.raises(ValueError, match=r'necks.tse=.*with a type'):
            build(necks=dict(tse=dict(ratio=0.3)))

    def test_an_encoder_without_attention(self):
        pytest.importorskip('transformers', reason='BERT needs [blip2]')
        with pytest.raises(TypeError, match='SwinBertEncoder does not tell'):
            build(encoder=tiny_swin_bert_cfg(), temperature=0.02)

    def test_weights(self):
        with pytest.raises(ValueError, match='one must be positive'):
            build(0.0, global_weight=0.0)

    def test_a_checkpoint_of_another_ratio(self):
        from mmtpr.checkpoints.function_facts import (
            FACTS,
            differing_facts,
            function_facts,
        )
        from mmtpr.utils.errors import LaunchError

        meta = {FACTS: function_facts(build())}
        assert not differing_facts(meta, build(0.3), 'a.pth')
        other = build(necks=dict(tse=dict(NECK, ratio=0.5)))
        with pytest.raises(LaunchError, match=r'necks\.tse ratio=0\.4'):
            differing_facts(meta, other, 'a.pth')
