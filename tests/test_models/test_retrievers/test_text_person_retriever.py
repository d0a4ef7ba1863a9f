"""The retriever from collated samples to losses and features."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.dataset import pseudo_collate
from mmengine.optim import OptimWrapper
from torch import nn

from mmtpr.models import RetrievalDataPreprocessor
from mmtpr.models.adapters import merge_adapters
from mmtpr.models.losses import SDMLoss, id_loss, sdm_loss
from mmtpr.registry import MODELS
from mmtpr.structures import RetrievalDataSample
from mmtpr.testing import tiny_encoder_cfg, tiny_retriever_cfg

ENCODER = tiny_encoder_cfg(vocab_size=100, context_length=8)


def _build(**kwargs):
    torch.manual_seed(0)
    return MODELS.build(tiny_retriever_cfg(**{'encoder': ENCODER, **kwargs}))


def _sample(with_image=True, caption=True, masked=False, **meta):
    meta = dict(img_path='a.png', caption='a man', **meta)
    sample = RetrievalDataSample(metainfo=meta)
    image = None
    if with_image:
        image = torch.randint(0, 256, (3, 64, 32), dtype=torch.uint8)
    if caption:
        sample.tokens = torch.randint(1, 99, (8,))
    if masked:
        sample.mlm_tokens = sample.tokens.clone()
        sample.mlm_labels = torch.full((8,), -100)
        sample.mlm_labels[2] = sample.tokens[2]
        sample.mlm_tokens[2] = 99
    return dict(inputs=dict(image=image), data_samples=sample)


def _pairs(number=4, **kwargs):
    torch.manual_seed(1)
    return pseudo_collate(
        [
            _sample(role='train', pid=i // 2, image_id=i, **kwargs)
            for i in range(number)
        ]
    )


def _mixed():
    torch.manual_seed(1)
    return pseudo_collate(
        [
            _sample(with_image=False, role='query', pid=0),
            _sample(caption=False, role='gallery', pid=0),
            _sample(with_image=False, role='query', pid=1),
            _sample(caption=False, role='gallery', pid=1),
            _sample(caption=False, role='gallery', pid=2),
        ]
    )


def test_losses_are_those_of_the_functions():
    model = _build(temperature=0.05)
    data = model.data_preprocessor(_pairs(), True)
    losses = model(**data, mode='loss')
    assert sorted(losses) == ['loss_id', 'loss_sdm']
    image = model.encoder.encode_image(data['inputs']['image'])
    text = model.encoder.encode_text(data['inputs']['tokens'])
    pids = torch.tensor([0, 0, 1, 1])
    wanted = sdm_loss(image, text, pids, 20.0)
    assert losses['loss_sdm'].item() == pytest.approx(wanted.item(), rel=1e-5)
    classifier = model.losses['id'].classifier
    wanted = id_loss(classifier(image), classifier(text), pids)
    assert losses['loss_id'].item() == pytest.approx(wanted.item(), rel=1e-5)


def test_a_training_step_learns_the_batch():
    losses = dict(
        sdm=dict(type='mmtpr.SDMLoss'),
        itc=dict(type='mmtpr.ITCLoss', positives='pid', weight=0.5),
        cmpm=dict(type='mmtpr.CMPMLoss', weight=0.1),
        id=dict(type='mmtpr.IDLoss', num_classes=2),
        mlm=dict(type='mmtpr.MLMLoss', layers=1, weight=0.5),
    )
    model = _build(losses=losses, learn_temperature=True).train()
    assert model.losses['mlm'].mlm_head.fc.out_features == 100
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    wrapper = OptimWrapper(optimizer)
    data = _pairs(masked=True)
    first = model(**model.data_preprocessor(data, True), mode='loss')
    sum(first.values()).backward()
    # Everything that may train has a gradient: DDP needs no search.
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert not [n for n, p in trained.items() if p.grad is None]
    optimizer.zero_grad()
    logs = [model.train_step(data, wrapper) for _ in range(25)]
    assert sorted(logs[0]) == [
        'loss',
        'loss_cmpm',
        'loss_id',
        'loss_itc',
        'loss_mlm',
        'loss_sdm',
    ]
    for name in ('loss_sdm', 'loss_id', 'loss_mlm'):
        assert logs[-1][name] < 0.5 * logs[0][name]


def test_each_encoder_runs_once_for_all_losses():
    model = _build(losses=dict(a=SDMLoss(), b=SDMLoss(0.5), c=SDMLoss(2.0)))
    calls = []
    for name in ('encode_image', 'encode_text'):
        original = getattr(model.encoder, name)

        def counted(*args, _name=name, _original=original, **kwargs):
            calls.append(_name)
            return _original(*args, **kwargs)

        setattr(model.encoder, name, counted)
    data = model.data_preprocessor(_pairs(), True)
    losses = model(**data, mode='loss')
    assert sorted(calls) == ['encode_image', 'encode_text']
    assert losses['loss_c'].item() == pytest.approx(
        4 * losses['loss_b'].item()
    )


def test_predict_serves_queries_and_gallery_of_one_batch():
    model = _build().eval()
    data = model.data_preprocessor(_mixed())
    with torch.no_grad():
        samples = model(**data, mode='predict')
    image = model.extract_image_feat(data['inputs']['image'])
    text = model.extract_text_feat(data['inputs']['tokens'])
    assert image.shape == (3, 1, 32)
    assert text.shape == (2, 32)
    for index, row in ((0, text[0]), (2, text[1]), (1, image[0])):
        torch.testing.assert_close(samples[index].features, row)
    torch.testing.assert_close(samples[4].features, image[2])
    for sample in samples:
        features = sample.features
        torch.testing.assert_close(
            features.norm(dim=-1), torch.ones(features.shape[:-1])
        )
        # Own memory: pickling one sample must not carry the batch.
        assert features.untyped_storage().nbytes() == 32 * 4


def test_a_query_uses_its_caption_even_with_a_image():
    model = _build().eval()
    batch = pseudo_collate(
        [_sample(role='query', pid=0), _sample(role='gallery', pid=0)]
    )
    with torch.no_grad():
        samples = model.test_step(batch)
    assert samples[0].features.shape == (32,)
    assert samples[1].features.shape == (1, 32)


def test_tensor_mode_gives_both_kinds():
    model = _build().eval()
    data = model.data_preprocessor(_mixed())
    features = model(data['inputs'])
    assert features['image'].shape == (3, 1, 32)
    assert features['text'].shape == (2, 32)
    only = model(dict(tokens=data['inputs']['tokens']))
    assert list(only) == ['text']


def test_features_are_float32_under_autocast():
    model = _build().eval()
    inputs = model.data_preprocessor(_mixed())['inputs']
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        features = model(inputs)
    assert {f.dtype for f in features.values()} == {torch.float32}


def test_temperatures():
    fixed = _build()
    assert fixed.scale() == pytest.approx(50)
    names = {n for n, p in fixed.named_parameters() if p.requires_grad}
    assert not any('logit_scale' in name for name in names)
    learnt = _build(learn_temperature=True)
    assert learnt.scale().item() == pytest.approx(50)
    assert learnt.logit_scale.requires_grad
    assert not learnt.encoder.logit_scale.requires_grad
    learnt.logit_scale.data.fill_(10)
    assert learnt.scale().item() == pytest.approx(100)
    learnt.train().scale().backward()
    assert learnt.logit_scale.grad > 0  # it can come back
    own = _build(temperature=None, learn_temperature=True)
    assert own.scale().item() == pytest.approx(1 / 0.07)
    assert own.encoder.logit_scale.requires_grad
    assert not _build(temperature=None).encoder.logit_scale.requires_grad
    with pytest.raises(ValueError, match='temperature must be > 0'):
        _build(temperature=0)


class _Adapted(nn.Module):
    """Forwards what it has not itself, as an adapter model does."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.module, name)


def test_the_encoder_may_be_wrapped():
    wrapped = _Adapted(MODELS.build(ENCODER))
    losses = dict(mlm=dict(type='mmtpr.MLMLoss', layers=1))
    model = _build(encoder=wrapped, losses=losses)
    data = model.data_preprocessor(_pairs(masked=True), True)
    model(**data, mode='loss')['loss_mlm'].backward()
    weight = wrapped.module.clip.visual.conv1.weight
    assert weight.grad.abs().max() > 0


def test_wora_around_the_encoder_trains_and_comes_off(tmp_path):
    encoder = dict(
        type='mmtpr.WoRAModel',
        module=ENCODER,
        rank=4,
        targets=[dict(type=r'clip\.visual\..*\.attn\.(q|k|v|out_proj)')],
    )
    model = _build(
        encoder=encoder,
        losses=dict(
            sdm=dict(type='mmtpr.SDMLoss'),
            mlm=dict(type='mmtpr.MLMLoss', layers=1),
        ),
    )
    data = model.data_preprocessor(_pairs(masked=True), True)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(2):
        sum(model(**data, mode='loss').values()).backward()
        optimizer.step()
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert any(name.endswith('lora_A') for name in trained)
    assert not [n for n, p in trained.items() if p.grad is None]
    with torch.no_grad():
        wanted = model.eval().extract_image_feat(data['inputs']['image'])
    plain = merge_adapters(model, remove=True)
    torch.save({'state_dict': plain.state_dict()}, tmp_path / 'plain.pth')
    again = _build(
        encoder=dict(ENCODER, pretrained=str(tmp_path / 'plain.pth'))
    ).eval()
    with torch.no_grad():
        got = again.extract_image_feat(data['inputs']['image'])
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-5)


def test_the_default_preprocessor_holds_in_any_scope():
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope('mmengine'):
        model = _build(data_preprocessor=dict(to_rgb=False))
    assert isinstance(model.data_preprocessor, RetrievalDataPreprocessor)
    assert not model.data_preprocessor.to_rgb


def test_without_image_tokens_in_the_encoder_only_mlm_is_out(monkeypatch):
    from mmtpr.models.encoders.open_clip import token_features as towers

    model = _build(losses=dict(mlm=dict(type='mmtpr.MLMLoss', layers=1)))
    monkeypatch.setattr(towers, 'VisionTransformer', type(None))
    monkeypatch.setattr(
        type(model.encoder.clip.visual), 'forward_intermediates', None
    )
    monkeypatch.delattr(
        type(model.encoder.clip.visual), 'forward_intermediates'
    )
    data = model.data_preprocessor(_pairs(masked=True), True)
    with pytest.raises(TypeError, match='gives no tokens'):
        model(**data, mode='loss')


def test_wrong_use_is_explained():
    model = _build()
    data = model.data_preprocessor(_pairs(), True)
    with pytest.raises(RuntimeError, match="got 'train'"):
        model(**data, mode='train')
    with pytest.raises(ValueError, match='Training needs losses'):
        _build(losses=None)(**data, mode='loss')
    mixed = model.data_preprocessor(_mixed(), True)
    with pytest.raises(ValueError, match='only 3 have image'):
        model(**mixed, mode='loss')
    batch = _pairs()
    for sample in batch['data_samples']:
        sample.set_metainfo(dict(label_hat=1))
    model(**model.data_preprocessor(batch, True), mode='loss')
    batch['data_samples'][1].set_metainfo(dict(label_hat=0))
    marked = model.data_preprocessor(batch, True)
    with pytest.raises(ValueError, match='no loss of TextPersonRetriever lea'):
        model(**marked, mode='loss')
    batch = _pairs()
    del batch['data_samples'][1].pid
    data = model.data_preprocessor(batch, True)
    with pytest.raises(ValueError, match='needs a pid in every sample'):
        model(**data, mode='loss')


def test_a_pid_gap_hurts_only_the_id_loss():
    batch = _pairs()
    for sample in batch['data_samples']:
        sample.set_metainfo(dict(pid=sample.pid * 7000))
    model = _build(losses=dict(sdm=dict(type='mmtpr.SDMLoss')))
    data = model.data_preprocessor(batch, True)
    assert torch.isfinite(model(**data, mode='loss')['loss_sdm'])
    with pytest.raises(ValueError, match='pids from 0 to 7000'):
        _build()(**data, mode='loss')


@pytest.mark.parametrize(
    ('sample', 'message'),
    [
        (dict(role='query', caption=False), 'has no tokens'),
        (
            dict(role='gallery', caption=False, with_image=False),
            'neither image nor',
        ),
    ],
)
def test_a_sample_with_nothing_to_embed_is_named(sample, message):
    model = _build().eval()
    with pytest.raises(ValueError, match=message):
        model.test_step(pseudo_collate([_sample(pid=0, **sample)]))


def test_cosines_survive_the_scale_of_features():
    """Features are normalised in float32 whatever the encoder gives."""
    model = _build().eval()
    images = torch.randn(2, 3, 64, 32)
    raw = model.encoder.encode_image(images)
    torch.testing.assert_close(
        model.extract_image_feat(images)[:, 0], F.normalize(raw, dim=1)
    )


@pytest.mark.parametrize('loss', [None, 5, dict(num_classes=6)])
def test_a_loss_that_is_none(loss):
    with pytest.raises(ValueError, match=r'losses\.id=.*a dict with a type'):
        _build(losses=dict(id=loss))
