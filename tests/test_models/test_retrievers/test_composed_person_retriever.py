"""The composed retriever from collated samples to losses and features."""

import open_clip
import pytest
import torch
import torch.nn.functional as F
from mmengine.dataset import pseudo_collate
from mmengine.optim import OptimWrapper
from torch import nn

from mmtpr.models.losses import sdm_loss
from mmtpr.registry import MODELS
from mmtpr.structures import RetrievalDataSample
from mmtpr.testing import tiny_encoder_cfg

TOKENIZER = open_clip.SimpleTokenizer(context_length=16)
ENCODER = tiny_encoder_cfg(context_length=16)
TINET = dict(type='mmtpr.TINet', hidden_dim=24)
QUERY = dict(type='mmtpr.PseudoWordQuery', tinets=TINET)
FAFA = dict(
    query=QUERY,
    target=dict(type='mmtpr.PatchTokens'),
    head=dict(type='mmtpr.FAFAHead', hidden_dim=16),
)


def build(**kwargs):
    torch.manual_seed(0)
    cfg = dict(type='mmtpr.ComposedPersonRetriever', encoder=ENCODER)
    return MODELS.build({**cfg, 'query': QUERY, **kwargs})


def inversion(**kwargs):
    losses = dict(text=dict(type='mmtpr.SDMLoss'))
    return build(**{'losses': losses, 'freeze_encoder': True, **kwargs})


def pixels():
    return torch.randint(0, 256, (3, 64, 32), dtype=torch.uint8)


def sample(caption='red shoes', image=True, reference=False, **meta):
    data = RetrievalDataSample(
        metainfo=dict(img_path='a.png', caption=caption, **meta)
    )
    if caption is not None:
        data.tokens = TOKENIZER([caption])[0]
    inputs = dict(image=pixels() if image else None)
    if reference:
        inputs['reference'] = pixels()
    return dict(inputs=inputs, data_samples=data)


def pairs(number=6, **kwargs):
    torch.manual_seed(1)
    colours = ('red', 'green', 'blue', 'white', 'black', 'grey')
    return pseudo_collate(
        [
            sample(f'in {colours[i]}', role='train', pid=i // 2, **kwargs)
            for i in range(number)
        ]
    )


def mixed():
    torch.manual_seed(1)
    return pseudo_collate(
        [
            sample(role='query', instance_id=0),
            sample(None, role='gallery', instance_id=0),
            sample('blue ' * 40, role='query', instance_id=1),
            sample(None, role='gallery', instance_id=1),
        ]
    )


def steps(model, data, number=25, lr=3e-3):
    free = [p for p in model.parameters() if p.requires_grad]
    wrapper = OptimWrapper(torch.optim.Adam(free, lr=lr))
    model.train()
    return [model.train_step(data, wrapper) for _ in range(number)]


def test_inversion_losses_are_those_of_the_functions():
    losses = dict(
        text=dict(type='mmtpr.SDMLoss'),
        vis=dict(type='mmtpr.SDMLoss', weight=0.5),
    )
    model = inversion(losses=losses).eval()
    data = model.data_preprocessor(pairs(), True)
    got = model(**data, mode='loss')
    image = model.encoder.encode_image(data['inputs']['image'])
    text = model.encoder.encode_text(data['inputs']['tokens'])
    prompt = TOKENIZER(['a photo of'])
    words = model.query.tinets[0](image)
    prompt = model.encoder.encode_text_with_words(prompt, words)
    pids = torch.tensor([0, 0, 1, 1, 2, 2])
    wanted = sdm_loss(prompt, text, pids, 50.0)
    assert got['loss_text'].item() == pytest.approx(wanted.item(), rel=1e-4)
    wanted = 0.5 * sdm_loss(prompt, image, pids, 50.0)
    assert got['loss_vis'].item() == pytest.approx(wanted.item(), rel=1e-4)


@pytest.mark.parametrize('caption', ['red shoes', '', 'blue ' * 40])
@pytest.mark.parametrize('words', [1, 3])
def test_queries_of_known_length_are_those_that_are_looked_for(caption, words):
    """The length comes from the CPU, so that no device has to be asked."""
    tinets = [dict(TINET, num_words=words), TINET]
    model = build(query=dict(QUERY, tinets=tinets)).eval()
    data = [sample(caption or 'a', role='query'), sample('a b', role='query')]
    inputs = model.data_preprocessor(pseudo_collate(data))['inputs']
    seen = []
    forward = model.encoder.clip.transformer.forward

    def spy(x, *args, **kwargs):
        seen.append(x.shape[1])
        return forward(x, *args, **kwargs)

    model.encoder.clip.transformer.forward = spy
    args = model.encoder, inputs['image'], inputs['tokens']
    known = model.query(*args, inputs['tokens_length'])
    lengths, seen[:] = seen[:], []
    found = model.query(*args)
    torch.testing.assert_close(known.feats, found.feats)
    for one, other in zip(lengths, seen, strict=True):
        assert other <= one <= other + 1
    image = model.encoder.encode_image(inputs['image'])
    with_length = model.query.prompts(model.encoder, image)
    for part, tinet in zip(with_length, model.query.tinets, strict=True):
        wanted = model.encoder.encode_text_with_words(
            model.query.prompt, tinet(image)
        )
        torch.testing.assert_close(part, wanted)


def test_only_the_inversion_network_trains():
    model = inversion()
    before = {k: v.clone() for k, v in model.encoder.state_dict().items()}
    logs = steps(model, pairs())
    assert logs[-1]['loss_text'] < 0.8 * logs[0]['loss_text']
    after = model.encoder.state_dict()
    assert all(torch.equal(after[k], v) for k, v in before.items())
    assert not model.encoder.training
    assert model.query.training
    names = [n for n, p in model.named_parameters() if p.requires_grad]
    assert all(name.startswith('query.tinets.0.') for name in names)


def test_cached_features_stand_in_for_images_and_captions():
    model = inversion().eval()
    data = model.data_preprocessor(pairs(), True)
    wanted = model(**data, mode='loss')['loss_text']
    image = model.encoder.encode_image(data['inputs']['image'])
    text = model.encoder.encode_text(data['inputs']['tokens'])
    cached = []
    for i, old in enumerate(data['data_samples']):
        new = RetrievalDataSample(metainfo=dict(pid=old.pid))
        new.image_feat, new.text_feat = image[i], text[i]
        cached.append(dict(inputs={}, data_samples=new))
    data = model.data_preprocessor(pseudo_collate(cached), True)
    assert 'image' not in data['inputs']
    assert 'tokens' not in data['inputs']
    got = model(**data, mode='loss')['loss_text']
    torch.testing.assert_close(got, wanted)


def test_light_fafa_learns_a_batch():
    model = build(**FAFA).train()
    data = pairs(reference=True)
    losses = model(**model.data_preprocessor(data, True), mode='loss')
    total = sum(v for k, v in losses.items() if k.startswith('loss'))
    total.backward()
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert not [n for n, p in trained.items() if p.grad is None]
    assert losses['cut_captions'] == 0
    model.zero_grad()
    logs = steps(model, data)
    assert logs[-1]['loss_fda'] < 0.5 * logs[0]['loss_fda']


def test_head_gets_queries_and_targets():
    model = build(**FAFA).eval()
    inputs = model.data_preprocessor(pairs(reference=True), True)['inputs']
    seen = {}

    def spy(query, tokens, ids, query_raw, target_raw, temperature):
        seen.update(query=query, tokens=tokens, ids=ids, raw=target_raw)
        return {}

    model.head.forward = spy
    samples = pairs(reference=True)['data_samples']
    model.loss(inputs, samples)
    wanted = model.extract_query_feat(inputs['reference'], inputs['tokens'])
    torch.testing.assert_close(F.normalize(seen['query'], dim=-1), wanted)
    assert seen['tokens'].shape == (6, 8, 32)
    torch.testing.assert_close(seen['raw'], seen['tokens'].mean(1))
    assert seen['ids'].tolist() == [0, 0, 1, 1, 2, 2]


def test_predict_serves_queries_gallery_and_baselines():
    model = build(**FAFA).eval()
    data = model.data_preprocessor(mixed())
    images, tokens = data['inputs']['image'], data['inputs']['tokens']
    with torch.no_grad():
        samples = model(**data, mode='predict')
        image = F.normalize(model.encoder.encode_image(images), dim=-1)
        text = F.normalize(model.encoder.encode_text(tokens), dim=-1)
        query = model.extract_query_feat(images[[0, 2]], tokens)
        gallery = model.extract_image_feat(images)
    for row, position in enumerate((0, 2)):
        found = samples[position]
        torch.testing.assert_close(found.features, query[row])
        torch.testing.assert_close(found.features_image, image[position])
        torch.testing.assert_close(found.features_text, text[row])
        total = F.normalize(image[position] + text[row], dim=-1)
        torch.testing.assert_close(found.features_sum, total)
        assert found.features.untyped_storage().nbytes() == 32 * 4
    assert [samples[i].caption_cut for i in (0, 2)] == [False, True]
    assert samples[1].features.shape == (8, 32)
    torch.testing.assert_close(samples[1].features, gallery[1])
    torch.testing.assert_close(samples[3].features_pooled[0], image[3])
    norms = samples[1].features.norm(dim=-1)
    torch.testing.assert_close(norms, torch.ones(8))


def test_a_fusion_is_the_normalised_sum():
    query = dict(QUERY, tinets=[TINET, dict(TINET, num_words=3), TINET])
    model = inversion(query=query).eval()
    data = model.data_preprocessor(mixed())
    with torch.no_grad():
        found = model(**data, mode='predict')[0]
        features = model(data['inputs'])
    parts = [found.get(f'features_tinet{i}') for i in range(3)]
    assert (parts[0] - parts[2]).abs().max() > 1e-4
    wanted = F.normalize(sum(parts), dim=-1)
    torch.testing.assert_close(found.features, wanted)
    assert features['query'].shape == (2, 32)
    assert features['image'].shape == (4, 1, 32)
    torch.testing.assert_close(features['query'][0], wanted)
    loss = model(**model.data_preprocessor(pairs(), True), mode='loss')
    assert loss['loss_text'] > 0


def test_patches_are_pooled_to_a_grid():
    target = dict(type='mmtpr.PatchTokens', grid=(2, 1))
    head = {**FAFA['head'], 'topk_tokens': 2}
    model = build(**{**FAFA, 'target': target, 'head': head}).eval()
    images = torch.randn(2, 3, 64, 32)
    _, tokens = model.encoder.encode_image(images, return_tokens=True)
    wanted = tokens[:, 1:].unflatten(1, (2, 4)).mean(2)
    got = model.target(model.encoder, images)
    torch.testing.assert_close(got.tokens, wanted)
    model.head.topk_tokens = 3
    data = model.data_preprocessor(pairs(reference=True), True)
    with pytest.raises(ValueError, match=r'topk=3 .* 2 tokens'):
        model(**data, mode='loss')


class _OwnQueries(nn.Module):
    """An encoder in the manner of a Q-Former."""

    embed_dim, hidden_dim, temperature = 4, 6, 0.2

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 6)

    def encode_target(self, images, return_hidden=False):
        hidden = self.linear(images.flatten(2).mean(2))[:, None]
        hidden = hidden.repeat(1, 8, 1)
        return F.normalize(hidden[..., :4], dim=-1), hidden

    def encode_query(self, images, tokens, return_hidden=False):
        hidden = self.linear(images.flatten(2).mean(2))
        hidden = hidden + tokens.float().mean(1, keepdim=True) / 1e4
        return F.normalize(hidden[:, :4], dim=-1), hidden


def test_an_encoder_may_make_queries_itself():
    head = dict(type='mmtpr.FAFAHead', temperature=None, hidden_dim=5)
    model = build(encoder=_OwnQueries(), query=None, head=head)
    assert model.head.reasoning.predictor[0].in_features == 12
    data = model.data_preprocessor(pairs(reference=True), True)
    losses = model(**data, mode='loss')
    assert sorted(losses) == ['loss_fd', 'loss_fda', 'loss_mfr']
    samples = model.eval()(**model.data_preprocessor(mixed()), mode='predict')
    assert samples[0].features.shape == (4,)
    assert samples[1].features.shape == (8, 4)
    assert 'features_text' not in samples[0]
    plain = MODELS.build(ENCODER)
    for part in ('EncoderQuery', 'EncoderTarget'):
        with pytest.raises(TypeError, match='OpenCLIPEncoder makes no'):
            MODELS.build(dict(type=f'mmtpr.{part}', encoder=plain))


def test_wora_around_the_encoder():
    encoder = dict(
        type='mmtpr.WoRAModel',
        module=ENCODER,
        rank=2,
        targets=[dict(type=r'clip\..*\.attn\.(q|v)')],
    )
    model = build(encoder=encoder, **FAFA)
    logs = steps(model, pairs(reference=True), 8)
    assert logs[-1]['loss_fda'] < logs[0]['loss_fda']


def test_captions_that_the_pipeline_cut_are_counted_in_stage_two():
    data = pairs()
    for flag, item in zip(
        (1, 0, 1, 1, 0, 0), data['data_samples'], strict=True
    ):
        item.set_metainfo(dict(caption_cut=bool(flag)))
    model = inversion()
    losses = model(**model.data_preprocessor(data, True), mode='loss')
    assert losses['cut_captions'] == 3
    # L_Vis reads no captions.
    model = inversion(losses=dict(vis=dict(type='mmtpr.SDMLoss')))
    losses = model(**model.data_preprocessor(data, True), mode='loss')
    assert list(losses) == ['loss_vis']


def test_own_queries_keep_what_the_pipeline_knows():
    model = build(encoder=_OwnQueries(), query=None).eval()
    data = mixed()
    data['data_samples'][2].set_metainfo(dict(caption_cut=True))
    found = model(**model.data_preprocessor(data), mode='predict')
    assert [s.get('caption_cut') for s in found] == [None, None, True, None]


def test_wrong_use_is_explained():
    model = build(**FAFA)
    with pytest.raises(ValueError, match='0 have reference'):
        model(**model.data_preprocessor(pairs(), True), mode='loss')
    same = pairs(reference=True)
    for item in same['data_samples']:
        item.set_metainfo(dict(pid=7))
    data = model.data_preprocessor(same, True)
    with pytest.raises(ValueError, match=r'All 6 samples .* id 7'):
        model(**data, mode='loss')
    with pytest.raises(ValueError, match='Training needs a head'):
        build()(**data, mode='loss')
    with pytest.raises(ValueError, match='give one of them'):
        inversion(head=dict(type='mmtpr.FAFAHead'))
    few = (dict(type='mmtpr.PooledTarget'), FAFA['target'] | dict(grid=(1, 5)))
    for target, tokens in zip(few, (1, 5), strict=True):
        match = rf'topk_tokens=6 .* {tokens} tokens'
        with pytest.raises(ValueError, match=match):
            build(**(FAFA | dict(target=target)))
    with pytest.raises(ValueError, match='text, vis, got id'):
        inversion(losses=dict(id=dict(type='mmtpr.SDMLoss')))
    with pytest.raises(ValueError, match='splits the placeholder'):
        build(query=dict(QUERY, placeholder='xqzvw', template='xqzvw {}'))


@pytest.mark.parametrize('missing', ['caption', 'image'])
def test_incomplete_queries_are_named(missing):
    model = build().eval()
    lacking = dict(caption=None) if missing == 'caption' else dict(image=False)
    batch = pseudo_collate(
        [
            sample(role='query', instance_id=0),
            sample(role='query', instance_id=1, **lacking),
            sample(None, role='gallery', instance_id=0),
        ]
    )
    with pytest.raises(ValueError, match=r'reference "a\.png" needs both'):
        model.test_step(batch)
    batch = pseudo_collate(
        [sample(role='gallery', image=False, instance_id=0)]
    )
    with pytest.raises(ValueError, match=r'gallery item .* no image'):
        model.test_step(batch)


def ranked(**kwargs):
    head = dict(FAFA['head'], cpl_weight=1.0, cpl_partners=2)
    return build(**{**FAFA, 'head': head, **kwargs})


def test_mixed_compositions_are_those_of_the_swapped_sentences():
    """Made of known features, they are what the query makes of the images."""
    model = ranked().eval()
    data = model.data_preprocessor(pairs(reference=True), True)
    seen = []
    model.head.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs['mixed']), with_kwargs=True
    )
    runs = []
    model.encoder.clip.visual.register_forward_hook(lambda *x: runs.append(1))
    torch.manual_seed(2)  # what MFR masks
    losses = model(**data, mode='loss')
    assert len(runs) == 1  # of the references; targets go another way
    ((mixed, partners),) = seen
    inputs = data['inputs']
    for vectors, some in zip(mixed, partners, strict=True):
        wanted = model.query(
            model.encoder, inputs['reference'], inputs['tokens'][some]
        )
        torch.testing.assert_close(vectors, wanted.feats)
    assert torch.isfinite(losses['loss_cpl'])
    plain_model = build(**FAFA).eval()
    torch.manual_seed(2)
    plain = plain_model(**data, mode='loss')
    assert 'loss_cpl' not in plain
    assert all(losses[name] == plain[name] for name in plain)


def test_compositions_are_learned_to_be_ranked():
    head = dict(
        type='mmtpr.FAFAHead',
        hidden_dim=16,
        fda_weight=0.0,
        fd_weight=0.0,
        mfr_weight=0.0,
        cpl_weight=1.0,
    )
    logs = steps(ranked(head=head), pairs(reference=True), 12)
    assert logs[-1]['loss_cpl'] < logs[0]['loss_cpl']
    # One outfit alone has nothing to rank, and says so.
    model = ranked()
    data = model.data_preprocessor(pairs(2, reference=True), True)
    with pytest.raises(ValueError, match='All 2 samples of this batch'):
        model(**data, mode='loss')


def test_an_encoder_that_makes_queries_itself_ranks_compositions():
    head = dict(type='mmtpr.FAFAHead', temperature=None, hidden_dim=5)
    model = build(
        encoder=_OwnQueries(), query=None, head=dict(head, cpl_weight=0.5)
    )
    data = model.data_preprocessor(pairs(reference=True), True)
    losses = model(**data, mode='loss')
    assert torch.isfinite(losses['loss_cpl'])
    losses['loss_cpl'].backward()
    assert model.encoder.linear.weight.grad.abs().sum() > 0
