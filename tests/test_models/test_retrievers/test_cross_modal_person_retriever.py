"""The retriever of APTM and Filtering-WoRA."""

import pytest
import torch
from mmengine.optim import OptimWrapper

from mmtpr.registry import MODELS
from mmtpr.structures import RetrievalDataSample
from mmtpr.testing import (
    tiny_encoder_cfg,
    tiny_swin_bert_cfg,
    write_tiny_vocab,
)

pytest.importorskip(
    'transformers', reason='BERT needs the extra [blip2] (transformers)'
)
pytest.importorskip(
    'mmpretrain.models', reason='Swin needs the extra [openmmlab]'
)

LOSSES = dict(
    itc=dict(type='mmtpr.ITCLoss', positives='pid'),
    itm=dict(type='mmtpr.ITMLoss'),
    mlm=dict(type='mmtpr.CrossModalMLMLoss'),
)


def build(**kwargs):
    torch.manual_seed(0)
    cfg = dict(
        type='mmtpr.CrossModalPersonRetriever',
        encoder=tiny_swin_bert_cfg(),
        losses=LOSSES,
    )
    return MODELS.build(cfg | kwargs)


def batch(augmented=True, attributes=None, number=4):
    torch.manual_seed(1)
    samples, images = [], []
    for i in range(number):
        sample = RetrievalDataSample(metainfo=dict(role='train', pid=i // 2))
        if attributes is not None:
            sample.set_metainfo(dict(attributes=attributes))
        sample.tokens = torch.randint(5, 28, (9,))
        sample.mlm_tokens = sample.tokens.clone().index_fill_(
            0, torch.tensor([2, 3]), 4
        )
        sample.mlm_labels = torch.where(
            sample.mlm_tokens == 4, sample.tokens, -100
        )
        if augmented:
            sample.set_data(dict(eda_tokens=sample.tokens.roll(1)))
        samples.append(sample)
        images.append(torch.randint(0, 255, (3, 64, 32), dtype=torch.uint8))
    return dict(inputs=dict(image=images), data_samples=samples)


def test_a_training_step_and_what_it_logs(tmp_path):
    vocab = write_tiny_vocab(tmp_path / 'vocab.txt')
    attributes = dict(
        type='mmtpr.AttributePromptLoss',
        prompts=[('a man', 'a woman'), ('a red shirt', 'a blue shirt')],
        vocab=vocab,
        num_matched=2,
    )
    model = build(losses=dict(LOSSES, attributes=attributes)).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    log = model.train_step(
        batch(attributes=[0, 1]), OptimWrapper(optimizer=optimizer)
    )
    assert set(log) == {
        *('loss', 'loss_itc', 'loss_itm', 'loss_mlm', 'loss_attributes'),
        *('loss_itc_eda', 'loss_itm_eda'),
    }
    assert all(torch.isfinite(value) for value in log.values())
    data = model.data_preprocessor(batch(attributes=[0, -1]), True)
    sum(model(**data, mode='loss').values()).backward()
    assert not [n for n, p in model.named_parameters() if p.grad is None]


def test_images_are_encoded_once_a_step(monkeypatch):
    model = build().train()
    calls = []
    encoder = model.encoder
    for name in ('encode_image', 'encode_text', 'image_keys_values'):
        plain = getattr(encoder, name)

        def count(*args, _name=name, _plain=plain, **kwargs):
            calls.append(_name)
            return _plain(*args, **kwargs)

        monkeypatch.setattr(encoder, name, count)
    data = model.data_preprocessor(batch(), True)
    model(**data, mode='loss')
    assert calls.count('encode_image') == 1
    assert calls.count('image_keys_values') == 1
    # The caption, the augmented one and the one with hidden words.
    assert calls.count('encode_text') == 3


def test_augmented_captions_weigh_less(monkeypatch):
    torch.manual_seed(0)
    found = {}
    for weight in (0.8, 0.4):
        model = build(
            losses=dict(itc=LOSSES['itc']), augmented_weight=weight
        ).eval()
        data = model.data_preprocessor(batch(), True)
        found[weight] = model(**data, mode='loss')
    torch.testing.assert_close(
        found[0.8]['loss_itc_eda'], 2 * found[0.4]['loss_itc_eda']
    )
    assert set(found[0.8]) == {'loss_itc', 'loss_itc_eda'}
    data = model.data_preprocessor(batch(augmented=False), True)
    assert set(model(**data, mode='loss')) == {'loss_itc'}


def test_parts_no_loss_uses_are_frozen():
    frozen = {
        name: {
            n.split('.')[1]
            if 'bert' not in n
            else ('cls' if '.cls.' in n else 'cross')
            for n, p in build(
                losses={k: LOSSES[k] for k in name.split()}
            ).named_parameters()
            if not p.requires_grad
        }
        for name in ('itc', 'itc itm', 'itc mlm', 'itc itm mlm')
    }
    assert frozen == {
        'itc': {'itm_head', 'cls', 'cross'},
        'itc itm': {'cls'},
        'itc mlm': {'itm_head'},
        'itc itm mlm': set(),
    }
    model = build(losses=dict(itc=LOSSES['itc'])).train()
    data = model.data_preprocessor(batch(augmented=False), True)
    model(**data, mode='loss')['loss_itc'].backward()
    assert not [
        n
        for n, p in model.named_parameters()
        if p.requires_grad and p.grad is None
    ]


def test_predict_puts_on_samples_what_a_second_look_needs():
    model = build(keep_embeds=True).eval()
    data = batch(augmented=False)
    for i, sample in enumerate(data['data_samples']):
        sample.set_metainfo(dict(role='query' if i < 2 else 'gallery'))
    data['inputs']['image'][0] = data['inputs']['image'][1] = None
    data = model.data_preprocessor(data)
    with torch.inference_mode():
        samples = model(**data, mode='predict')
        plain = build().eval()
        plain.load_state_dict(model.state_dict())
        others = [
            sample.features.clone() for sample in plain(**data, mode='predict')
        ]
    for sample, features in zip(samples, others, strict=True):
        assert torch.equal(sample.features, features)
        torch.testing.assert_close(features.norm(dim=-1).mean().item(), 1.0)
    assert samples[0].features.shape == (16,)
    assert samples[0].text_embeds.shape == (9, 32)
    assert samples[0].text_mask.shape == (9,)
    assert 'image_embeds' not in samples[0]
    assert samples[2].features.shape == (1, 16)
    assert samples[2].image_embeds.shape == (1 + 2, 64)
    assert 'text_embeds' not in samples[2]


def test_scores_of_pairs_and_of_all(monkeypatch):
    model = build().eval()
    data = model.data_preprocessor(batch())
    tokens, images = data['inputs']['tokens'], data['inputs']['image']
    with torch.inference_mode():
        mask = (tokens != model.pad_token_id).long()
        feats, texts = model.encode_text(tokens[:3], mask[:3])
        _, image_kv = model.encode_image(images)
        block = model.image_keys_values(image_kv)
        every = model.itm_scores(
            texts, mask[:3], image_kv, pairwise=False, chunk_size=5
        )
        again = model.itm_scores(
            texts, mask[:3], keys_values=block, pairwise=False
        )
        pairs = model.itm_scores(texts, mask[:3], image_kv[1:])
    assert every.shape == (3, 4)
    assert every.dtype == torch.float32
    torch.testing.assert_close(every, again, atol=1e-6, rtol=1e-5)
    diagonal = torch.stack([every[i, i + 1] for i in range(3)])
    torch.testing.assert_close(pairs, diagonal, atol=1e-6, rtol=1e-5)
    assert torch.equal(feats, model.extract_text_feat(tokens[:3]))


def test_adapters_on_the_image_encoder_train_alone_there():
    model = build(
        encoder=dict(
            type='mmtpr.WoRAModel',
            module=tiny_swin_bert_cfg(),
            rank=2,
            targets=[dict(type=r'vision\..*')],
            trainable=[
                r'vision\.patch_embed',
                r'vision\..*(norm\d?|relative_position_bias_table)',
                r'(bert|image_projection|text_projection|itm_head)\..*',
                'temperature',
            ],
        )
    ).train()
    data = model.data_preprocessor(batch(), True)
    sum(model(**data, mode='loss').values()).backward()
    trained = {n for n, p in model.named_parameters() if p.grad is not None}
    free = {n for n, p in model.named_parameters() if p.requires_grad}
    assert trained == free
    assert not [n for n in free if '.linear.' in n]
    frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
    assert all('.linear.' in name for name in frozen)


def test_wrong_encoder_and_attributes():
    with pytest.raises(TypeError, match='OpenCLIPEncoder is no cross encoder'):
        build(encoder=tiny_encoder_cfg())
    model = build()
    with pytest.raises(ValueError, match='0, 1 or -1'):
        model.data_preprocessor(batch(attributes=[0, 2]), True)


@pytest.mark.parametrize('name', ['aptm_mini.pt', 'filtering_wora_mini.pt'])
def test_losses_and_scores_are_those_of_the_release(private_parity, name):
    from mmtpr.converters.keys.aptm import aptm_map

    case = torch.load(private_parity(name), weights_only=True)
    vision, text = case['config']['vision'], dict(case['config']['text'])
    encoder = dict(
        type='mmtpr.SwinBertEncoder',
        image=dict(
            arch=dict(
                embed_dims=vision['embed_dim'],
                depths=vision['depths'],
                num_heads=vision['num_heads'],
            ),
            window_size=vision['window_size'],
        ),
        image_size=(vision['h'], vision['w']),
        fusion_layer=text.pop('fusion_layer'),
        text=text,
        embed_dim=case['config']['embed_dim'],
    )
    if 'wora' in name:
        targets = [dict(type=r'vision\..*')]
        encoder = dict(type='mmtpr.WoRAModel', module=encoder, targets=targets)
    model = build(encoder=encoder).eval()
    state = aptm_map(case['model'])(case['model']).state
    getattr(model.encoder, 'module', model.encoder).load_state_dict(state)
    labels = torch.full_like(case['text_ids'], -100)
    for row, places, ids in zip(
        labels, case['masked_pos'], case['masked_ids'], strict=True
    ):
        row[places[ids >= 0]] = ids[ids >= 0]
    inputs = dict(
        image=case['image'],
        tokens=case['text_ids'],
        mlm_tokens=case['masked_ids_in'],
        mlm_labels=labels,
    )
    samples = [
        RetrievalDataSample(metainfo=dict(pid=int(i))) for i in case['idx']
    ]
    with torch.inference_mode():
        losses = model(inputs, samples, mode='loss')
        _, image_kv = model.encode_image(case['image'])
        mask = model.encoder.text_mask(case['text_ids'])
        assert torch.equal(mask, case['text_atts'])
        _, states = model.encode_text(case['text_ids'], mask)
        scores = model.itm_scores(states, mask, image_kv)
    for found, wanted in (
        (losses['loss_itc'], case['itc']),
        (losses['loss_mlm'], case['mlm']),
        (scores, case['itm_logits'][:, 1]),
    ):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
