"""FAFA on BLIP-2: the config's model on tiny sizes."""

import importlib.util

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper

import mmtpr.datasets.transforms
from mmtpr.models.losses import fda_similarity
from mmtpr.registry import MODELS, TRANSFORMS
from mmtpr.structures import RetrievalDataSample
from mmtpr.testing import tiny_blip2_cfg, write_tiny_vocab

pytest.importorskip(
    'transformers', reason='BLIP-2 needs the extra [blip2] (transformers)'
)


@pytest.fixture
def cfg(repo_root):
    path = repo_root / 'configs/_base_/models/fafa_blip2.py'
    cfg = Config.fromfile(path).model
    # What is written there must be arguments that exist.
    tiny = tiny_blip2_cfg()['model']
    cfg.encoder.update(model=tiny, pretrained=None, dropout=0.0)
    return cfg


def sample(i, role, **kwargs):
    return RetrievalDataSample(metainfo=dict(role=role, pid=i, **kwargs))


def triplets(number=4):
    generator = torch.Generator().manual_seed(0)

    def images():
        return [
            torch.randint(0, 255, (3, 28, 28), generator=generator).byte()
            for _ in range(number)
        ]

    samples = []
    for i in range(number):
        samples.append(sample(i, 'train'))
        tokens = torch.randint(5, 60, (9,), generator=generator)
        tokens[5 + i % 3 :] = 0
        samples[-1].tokens = tokens
    return dict(
        inputs=dict(image=images(), reference=images()),
        data_samples=samples,
    )


def test_it_learns_triplets_and_uses_every_parameter(cfg):
    torch.manual_seed(0)
    cfg.head.noise = None
    cfg.head.mfr_weight = 0.1
    model = MODELS.build(cfg).train()
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    optim = OptimWrapper(
        torch.optim.AdamW(trained.values(), lr=1e-3),
        clip_grad=dict(max_norm=1.0),
    )
    batch = triplets()
    losses = []
    for step in range(12):
        data = model.data_preprocessor(batch, True)
        parts = model(**data, mode='loss')
        loss, _ = model.parse_losses(parts)
        losses.append(parts['loss_fda'].item())
        if step == 0:
            assert {'loss_fda', 'loss_fd', 'loss_mfr'} <= set(parts)
            loss.backward()
            unused = [n for n, p in trained.items() if p.grad is None]
            assert not unused
            model.zero_grad()
            continue
        optim.update_params(loss)
    assert losses[-1] < 0.75 * losses[0]


def test_noise_and_bfloat16(cfg):
    torch.manual_seed(0)
    model = MODELS.build(cfg).train()
    data = model.data_preprocessor(triplets(), True)
    with torch.autocast('cpu', torch.bfloat16):
        loss, _ = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(model.encoder.blip2.query_tokens.grad).all()


def test_predictions_are_those_of_the_encoder(cfg):
    torch.manual_seed(0)
    model = MODELS.build(cfg).eval()
    train = triplets(2)
    query = sample(0, 'query', instance_id=3)
    query.tokens = train['data_samples'][0].tokens
    batch = dict(
        inputs=dict(image=train['inputs']['image']),
        data_samples=[query, sample(1, 'gallery', instance_id=3)],
    )
    first, second = model.test_step(batch)
    images = model.data_preprocessor(batch)['inputs']['image']
    with torch.inference_mode():
        wanted = model.encoder.encode_query(images[:1], query.tokens[None])
        tokens = model.encoder.encode_target(images[1:])
    torch.testing.assert_close(first.features, wanted[0])
    torch.testing.assert_close(second.features, tokens[0])
    # A query is judged by the mean of its best tokens.
    score = fda_similarity(first.features[None], second.features[None], 6)
    best = (second.features @ first.features).topk(6).values.mean()
    assert score.item() == pytest.approx(best.item(), abs=1e-6)


def test_wora_on_the_config(cfg):
    torch.manual_seed(0)
    cfg.encoder = dict(
        type='mmtpr.WoRAModel',
        module=dict(cfg.encoder, vision_dtype='float32'),
        rank=4,
        targets=[dict(type=r'blip2\..*\.(qkv|projection|query|value)')],
        trainable=[r'blip2\.(text|vision)_projection', r'.*layernorm'],
    )
    model = MODELS.build(cfg).train()
    data = model.data_preprocessor(triplets(), True)
    loss, _ = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    layer = model.encoder.blip2.vision_model.encoder.layers[0].self_attn.qkv
    assert layer.lora_B.grad.abs().max() > 0
    assert layer.linear.weight.grad is None


def test_fafas_release_finds_all_its_places(
    cfg, private_parity, tmp_path, repo_root
):
    source = private_parity('fafa_blip2_mini.pt')
    path = repo_root / 'tools/model_converters/blip2.py'
    spec = importlib.util.spec_from_file_location('blip2_tool', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    state = tool.checkpoint_of(tool.convert(str(source), None))['state_dict']
    model = dict(cfg.encoder.model)
    model['vision_config'].update(intermediate_size=209)
    model['qformer_config'].update(num_hidden_layers=4, vocab_size=700)
    cfg.encoder.update(vision_dtype='float32')
    retriever = MODELS.build(cfg)
    assert set(retriever.state_dict()) == set(state)
    retriever.load_state_dict(state)
    case = torch.load(source, weights_only=True)
    with torch.inference_mode():
        tokens = retriever.eval().extract_image_feat(case['target'])
        query = retriever.extract_query_feat(
            case['reference'], case['text_ids']
        )
    torch.testing.assert_close(
        fda_similarity(query, tokens, 6),
        case['similarity'],
        atol=1e-5,
        rtol=1e-5,
    )


def test_pipelines_of_the_config(repo_root, tmp_path):
    import cv2
    import numpy as np

    assert mmtpr.datasets.transforms
    path = repo_root / 'configs/_base_/datasets/composed_blip2_224.py'
    cfg = Config.fromfile(path)
    for pipeline in (cfg.triplet_pipeline, cfg.plain_pipeline):
        for step in pipeline:
            if step.type == 'mmtpr.TokenizeBert':
                step.vocab = write_tiny_vocab(tmp_path / 'vocab.txt')
    for name, value in (('a', 40), ('b', 200)):
        image = np.full((90, 30, 3), value, np.uint8)
        cv2.imwrite(str(tmp_path / f'{name}.png'), image)
    entry = dict(
        role='train',
        reference_path=str(tmp_path / 'a.png'),
        img_path=str(tmp_path / 'b.png'),
        caption='in red trousers',
        pid=0,
    )
    for step in cfg.triplet_pipeline:
        entry = TRANSFORMS.build(step)(entry)
    inputs = entry['inputs']
    assert inputs['image'].shape == inputs['reference'].shape
    assert inputs['image'].shape == (3, 224, 224)
    assert inputs['reference'][0, 112, 112] == 40
    assert inputs['image'][0, 112, 112] == 200
    assert inputs['image'][0, 112, 0] == 0
    assert entry['data_samples'].tokens.shape == (32,)


def test_compositions_are_ranked(cfg):
    """Mixed queries are those of the image with the other's sentence."""
    torch.manual_seed(0)
    cfg.head.update(noise=None, cpl_weight=0.5, cpl_partners=2)
    model = MODELS.build(cfg).eval()
    data = model.data_preprocessor(triplets(), True)
    seen = []
    model.head.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs['mixed']), with_kwargs=True
    )
    losses = model(**data, mode='loss')
    ((mixed, partners),) = seen
    assert mixed.shape[:2] == partners.shape == (2, 4)
    inputs = data['inputs']
    for vectors, some in zip(mixed, partners, strict=True):
        wanted = model.query(
            model.encoder, inputs['reference'], inputs['tokens'][some]
        )
        torch.testing.assert_close(vectors, wanted.feats)
    losses['loss_cpl'].backward()
    trained = [p for p in model.encoder.parameters() if p.requires_grad]
    assert sum(
        float(p.grad.abs().sum()) for p in trained if p.grad is not None
    )
