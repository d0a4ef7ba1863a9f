"""Where BLIP-2's weights come from, and that none is lost."""

import json
import subprocess
import sys

import pytest
import torch

from mmtpr.converters.keys.blip2 import convert_lavis, export_lavis
from mmtpr.models.encoders.blip2.build import (
    blip2_config,
    create_blip2,
)
from mmtpr.registry import MODELS
from mmtpr.testing import tiny_blip2_cfg

transformers = pytest.importorskip(
    'transformers', reason='BLIP-2 needs the extra [blip2] (transformers)'
)

TINY = tiny_blip2_cfg()['model']


def norm(name, width):
    return {f'{name}.weight': (width,), f'{name}.bias': (width,)}


def linear(name, width_in, width_out):
    return {
        f'{name}.weight': (width_out, width_in),
        f'{name}.bias': (width_out,),
    }


def vit_shapes(width, hidden, depth, patches):
    name = 'visual_encoder'
    shapes = {
        f'{name}.cls_token': (1, 1, width),
        f'{name}.pos_embed': (1, patches + 1, width),
        f'{name}.patch_embed.proj.weight': (width, 3, 14, 14),
        f'{name}.patch_embed.proj.bias': (width,),
        **norm('ln_vision', width),
    }
    for i in range(depth):
        block = f'{name}.blocks.{i}'
        shapes |= {
            **norm(f'{block}.norm1', width),
            **norm(f'{block}.norm2', width),
            f'{block}.attn.q_bias': (width,),
            f'{block}.attn.v_bias': (width,),
            f'{block}.attn.qkv.weight': (3 * width, width),
            **linear(f'{block}.attn.proj', width, width),
            **linear(f'{block}.mlp.fc1', width, hidden),
            **linear(f'{block}.mlp.fc2', hidden, width),
        }
    return shapes


def attention_shapes(name, width, source):
    return {
        **linear(f'{name}.self.query', width, width),
        **linear(f'{name}.self.key', source, width),
        **linear(f'{name}.self.value', source, width),
        **linear(f'{name}.output.dense', width, width),
        **norm(f'{name}.output.LayerNorm', width),
    }


def qformer_shapes(width, hidden, depth, source, words, positions):
    bert, head = 'Qformer.bert', 'Qformer.cls.predictions'
    shapes = {
        f'{bert}.embeddings.position_ids': (1, positions),
        f'{bert}.embeddings.word_embeddings.weight': (words, width),
        f'{bert}.embeddings.position_embeddings.weight': (positions, width),
        **norm(f'{bert}.embeddings.LayerNorm', width),
        f'{head}.bias': (words,),
        **linear(f'{head}.transform.dense', width, width),
        **norm(f'{head}.transform.LayerNorm', width),
        **linear(f'{head}.decoder', width, words),
    }
    for i in range(depth):
        layer = f'{bert}.encoder.layer.{i}'
        shapes |= attention_shapes(f'{layer}.attention', width, width)
        if i % 2 == 0:
            shapes |= attention_shapes(
                f'{layer}.crossattention', width, source
            )
        for side in ('', '_query'):
            shapes |= {
                **linear(f'{layer}.intermediate{side}.dense', width, hidden),
                **linear(f'{layer}.output{side}.dense', hidden, width),
                **norm(f'{layer}.output{side}.LayerNorm', width),
            }
    return shapes


def lavis_shapes(vision, qformer, queries, shared):
    """Names and shapes in a BLIP-2 stage 1 of LAVIS."""
    width = qformer['width']
    return {
        'query_tokens': (1, queries, width),
        'temp': (),
        **vit_shapes(**vision),
        **qformer_shapes(**qformer, source=vision['width']),
        **linear('vision_proj', width, shared),
        **linear('text_proj', width, shared),
        **linear('itm_head', width, 2),
    }


VIT_G = dict(
    vision=dict(width=1408, hidden=6144, depth=39, patches=256),
    qformer=dict(width=768, hidden=3072, depth=12, words=30523, positions=512),
    queries=32,
    shared=256,
)
SMALL = dict(
    vision=dict(width=48, hidden=96, depth=2, patches=4),
    qformer=dict(width=64, hidden=128, depth=2, words=64, positions=64),
    queries=8,
    shared=32,
)


@pytest.fixture
def lavis():
    torch.manual_seed(0)
    return {k: torch.randn(s) for k, s in lavis_shapes(**SMALL).items()}


def test_the_layout_above_is_that_of_the_release(parity_file):
    layouts = json.loads(parity_file('layouts.json').read_text())
    shapes = lavis_shapes(
        dict(width=48, hidden=209, depth=2, patches=4),
        dict(width=64, hidden=128, depth=4, words=700, positions=64),
        queries=8,
        shared=32,
    )
    found = {
        key: tuple(shape)
        for key, shape in layouts['fafa_blip2_mini'].items()
        if not key.startswith('mlm_predictor.')
    }
    assert found == shapes


def test_full_size_key_map_is_one_to_one():
    shapes = lavis_shapes(**VIT_G)
    with torch.device('meta'):
        state = {key: torch.empty(shape) for key, shape in shapes.items()}
        model = create_blip2(blip2_config('vit-g'), 1e-5)
    converted = convert_lavis(state)
    got = {k: tuple(v.shape) for k, v in converted.encoder.items()}
    want = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    assert got.pop('temperature') == ()
    assert got == want
    total = sum(p.numel() for p in model.parameters())
    assert 1.17e9 < total < 1.18e9
    # q_bias and v_bias become one; nothing else is lost.
    assert len(shapes) == len(want) + 1 + 39 + len(converted.ignored)
    assert all(
        key.startswith('Qformer.cls.') or key.endswith('position_ids')
        for key in converted.ignored
    )
    back = export_lavis(model.state_dict() | {'temperature': torch.ones(())})
    assert {k: tuple(v.shape) for k, v in back.state.items()} == {
        k: v for k, v in shapes.items() if not k.startswith('Qformer.cls.')
    }


def test_back_to_lavis(lavis):
    converted = convert_lavis(lavis)
    back = export_lavis(converted.encoder, converted.mfr).state
    position_ids = back.pop('Qformer.bert.embeddings.position_ids')
    assert torch.equal(position_ids, torch.arange(64)[None])
    assert set(back) == set(lavis) - set(converted.ignored)
    assert all(torch.equal(back[key], lavis[key]) for key in back)


def test_biases_keep_their_places(lavis):
    encoder = convert_lavis(lavis).encoder
    bias = encoder['vision_model.encoder.layers.1.self_attn.qkv.bias']
    q, k, v = bias.split(48)
    assert torch.equal(q, lavis['visual_encoder.blocks.1.attn.q_bias'])
    assert torch.equal(v, lavis['visual_encoder.blocks.1.attn.v_bias'])
    assert not k.any()


def test_unknown_and_incomplete_keys_stop(lavis):
    odd = dict(lavis, prompt_tokens=torch.zeros(1))
    with pytest.raises(ValueError, match=r'1 keys .* prompt_tokens'):
        convert_lavis(odd)
    ignored = convert_lavis(odd, 'prompt_.*').ignored
    assert ignored['prompt_tokens'] == 'asked for by "prompt_.*"'
    del lavis['visual_encoder.blocks.0.attn.q_bias']
    with pytest.raises(ValueError, match=r'blocks\.0\.attn has only v_bias'):
        convert_lavis(lavis)


WRAPPERS = {
    'bare': lambda state: state,
    'model': lambda state: dict(model=state, epoch=3),
    'class name and DDP': lambda state: {
        'epoch': 3,
        'Blip2QformerCir': {f'module.{k}': v for k, v in state.items()},
    },
    'float16': lambda state: {k: v.half() for k, v in state.items()},
}


@pytest.mark.parametrize('wrapper', WRAPPERS)
def test_files_of_lavis_and_fafa(lavis, tmp_path, wrapper):
    path = tmp_path / 'blip2.pth'
    torch.save(WRAPPERS[wrapper](lavis), path)
    encoder = MODELS.build(tiny_blip2_cfg(pretrained=str(path)))
    half = wrapper == 'float16'
    torch.testing.assert_close(
        encoder.blip2.text_projection.weight,
        torch.nn.Parameter(lavis['text_proj.weight']),
        atol=1e-2 if half else 0,
        rtol=0,
    )
    assert encoder.temperature.item() == pytest.approx(
        lavis['temp'].item(), abs=1e-2 if half else 1e-6
    )
    assert encoder.temperature.dtype == torch.float32


def test_a_checkpoint_of_mmtpr(tmp_path):
    torch.manual_seed(0)
    model = MODELS.build(
        dict(type='mmtpr.BLIP2Scorer', encoder=tiny_blip2_cfg())
    )
    model.encoder.temperature.data.fill_(0.03)
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    again = MODELS.build(tiny_blip2_cfg(pretrained=str(path)))
    wanted = model.encoder.state_dict()
    assert all(
        torch.equal(value, wanted[name])
        for name, value in again.state_dict().items()
    )


def test_a_folder_of_transformers(tmp_path):
    torch.manual_seed(0)
    encoder = MODELS.build(tiny_blip2_cfg())
    encoder.blip2.save_pretrained(tmp_path / 'blip2')
    cfg = dict(
        type='mmtpr.BLIP2Encoder',
        pretrained=str(tmp_path / 'blip2'),
        temperature=0.05,
    )
    again = MODELS.build(cfg)
    wanted = encoder.blip2.state_dict()
    assert again.image_size == (28, 28)
    assert again.temperature.item() == pytest.approx(0.05)
    assert again.blip2.vision_model.post_layernorm.eps == 1e-5
    assert all(
        torch.equal(value, wanted[name])
        for name, value in again.blip2.state_dict().items()
    )
    # A file inside works as well, given the sizes.
    file = next((tmp_path / 'blip2').glob('*.safetensors'))
    third = MODELS.build(tiny_blip2_cfg(pretrained=str(file)))
    assert torch.equal(third.blip2.query_tokens, encoder.blip2.query_tokens)


def test_a_folder_that_lacks_weights_or_has_others(tmp_path):
    encoder = MODELS.build(tiny_blip2_cfg())
    state = encoder.blip2.state_dict()
    del state['embeddings.word_embeddings.weight']
    encoder.blip2.save_pretrained(tmp_path, state_dict=state)
    cfg = dict(type='mmtpr.BLIP2Encoder', pretrained=str(tmp_path))
    with pytest.raises(ValueError, match=r'1 missing .*word_embeddings'):
        MODELS.build(cfg)
    next(tmp_path.glob('*.safetensors')).write_bytes(b'123')
    with pytest.raises(ValueError, match=r'cannot be loaded \(.*header'):
        MODELS.build(cfg)


def test_a_file_of_another_size(lavis, tmp_path):
    path = tmp_path / 'blip2.pth'
    torch.save(lavis, path)
    model = dict(TINY, image_text_hidden_size=16)
    with pytest.raises(ValueError, match=r'4 mismatched .*\(32,\) for \(16'):
        MODELS.build(tiny_blip2_cfg(model=model, pretrained=str(path)))


def test_files_that_are_absent_or_something_else(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nothing\.pth'):
        MODELS.build(tiny_blip2_cfg(pretrained='nothing.pth'))
    path = tmp_path / 'other.pth'
    torch.save(dict(weight=torch.zeros(2)), path)
    with pytest.raises(ValueError, match='holds no BLIP-2'):
        MODELS.build(tiny_blip2_cfg(pretrained=str(path)))


def test_a_hub_name_offline(monkeypatch, tmp_path):
    constants = pytest.importorskip('huggingface_hub').constants
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path))
    with pytest.raises(ValueError, match='Three ways') as error:
        MODELS.build(
            dict(type='mmtpr.BLIP2Encoder', pretrained='nobody/blip2-none')
        )
    assert 'nobody/blip2-none' in str(error.value)


def test_converter_tool(lavis, tmp_path, repo_root):
    mfr = {
        'mlm_predictor.predictor.0.weight': torch.randn(512, 128),
        'mlm_predictor.predictor.0.bias': torch.randn(512),
    }
    source, out = tmp_path / 'fafa.pth', tmp_path / 'mmtpr.pth'
    torch.save(dict(model={**lavis, **mfr}, epoch=3), source)
    command = [
        sys.executable,
        str(repo_root / 'tools/model_converters/blip2.py'),
        str(source),
        str(out),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'Left out 7, e.g. Qformer.cls.' in done.stdout
    assert 'e.g. epoch: an entry beside the weights' in done.stdout
    file = torch.load(out, weights_only=True)
    state = file['state_dict']
    assert torch.equal(
        state['head.reasoning.predictor.0.bias'],
        mfr['mlm_predictor.predictor.0.bias'],
    )
    assert 'epoch' in file['meta']['ignored']
    used = [key for key in lavis if key not in file['meta']['ignored']]
    # Two biases of a block become one.
    assert len(state) == len(used) - 2 + 2
    first = MODELS.build(tiny_blip2_cfg(pretrained=str(source)))
    second = MODELS.build(tiny_blip2_cfg(pretrained=str(out)))
    wanted = first.state_dict()
    assert all(
        torch.equal(value, wanted[name])
        for name, value in second.state_dict().items()
    )
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode != 0
    assert 'exists already' in again.stderr + again.stdout
