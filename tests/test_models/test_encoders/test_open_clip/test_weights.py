"""Files of weights in every layout, and what is wrong with some."""

import pytest
import torch
import torch.nn.functional as F
from open_clip.transformer import QuickGELU
from torch import nn

from mmtpr.models.encoders import OpenCLIPEncoder
from mmtpr.models.encoders.open_clip.pos_embed import resize_positions
from mmtpr.registry import MODELS
from mmtpr.testing import tiny_clip_cfg, tiny_retriever_cfg

CONFIG = tiny_clip_cfg((64, 64), vocab_size=100, context_length=16)


@pytest.fixture(scope='module')
def source():
    torch.manual_seed(3)
    return OpenCLIPEncoder(CONFIG).eval()


def _same(one, other):
    torch.manual_seed(0)
    images = torch.randn(2, 3, *one.image_size)
    tokens = torch.randint(1, 99, (2, 16))
    with torch.no_grad():
        torch.testing.assert_close(one(images, tokens), other(images, tokens))


def _load(path, **kwargs):
    torch.manual_seed(4)
    return OpenCLIPEncoder(CONFIG, pretrained=path, **kwargs).eval()


def _layouts(source):
    state = source.clip.state_dict()
    return {
        'open_clip': state,
        'training': {'epoch': 3, 'state_dict': state},
        'model': {'model': state, 'iteration': 1},
        'ddp': {f'module.{k}': v for k, v in state.items()},
        'encoder': {f'clip.{k}': v for k, v in state.items()},
        'no_scale': {k: v for k, v in state.items() if k != 'logit_scale'},
        'scale_as_vector': {
            **state,
            'logit_scale': state['logit_scale'].reshape(1),
        },
    }


@pytest.mark.parametrize(
    'layout',
    [
        'open_clip',
        'training',
        'model',
        'ddp',
        'encoder',
        'no_scale',
        'scale_as_vector',
    ],
)
def test_layouts_of_state_dicts(source, tmp_path, layout):
    path = tmp_path / 'clip.pt'
    torch.save(_layouts(source)[layout], path)
    _same(_load(path), source)


def test_half_precision_becomes_float32(source, tmp_path):
    state = {k: v.half() for k, v in source.clip.state_dict().items()}
    torch.save(state, tmp_path / 'half.pt')
    encoder = _load(tmp_path / 'half.pt')
    assert {p.dtype for p in encoder.parameters()} == {torch.float32}
    wanted = state['visual.proj'].float()
    torch.testing.assert_close(encoder.clip.visual.proj.data, wanted)


def test_safetensors(source, tmp_path):
    from safetensors.torch import save_file

    save_file(source.clip.state_dict(), tmp_path / 'clip.safetensors')
    _same(_load(tmp_path / 'clip.safetensors'), source)


@pytest.mark.filterwarnings('ignore')
def test_an_archive_of_openai(tmp_path):
    """TorchScript, float16, with numbers beside the weights, QuickGELU."""
    torch.manual_seed(5)
    source = OpenCLIPEncoder(CONFIG, quick_gelu=True).eval()
    clip = source.clip
    inputs = torch.zeros(1, 3, 64, 64), torch.zeros(1, 16, dtype=torch.long)
    for name in ('input_resolution', 'context_length', 'vocab_size'):
        clip.__dict__.pop(name, None)
        clip.register_buffer(name, torch.tensor(16))
    archive = torch.jit.trace(clip, inputs, check_trace=False)
    torch.jit.save(archive, tmp_path / 'ViT.pt')
    encoder = _load(tmp_path / 'ViT.pt')
    gelu = encoder.clip.visual.transformer.resblocks[0].mlp.gelu
    assert isinstance(gelu, QuickGELU)
    _same(encoder, source)
    other = _load(tmp_path / 'ViT.pt', quick_gelu=False)
    gelu = other.clip.visual.transformer.resblocks[0].mlp.gelu
    assert isinstance(gelu, nn.GELU)


def test_custom_text_models_take_the_plain_layout(source, tmp_path):
    torch.save(source.clip.state_dict(), tmp_path / 'clip.pt')
    config = dict(CONFIG, custom_text=True)
    encoder = OpenCLIPEncoder(config, pretrained=tmp_path / 'clip.pt').eval()
    assert hasattr(encoder.clip, 'text')
    _same(encoder, source)


@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_a_retriever_gives_its_encoder(tmp_path, prefix):
    retriever = MODELS.build(tiny_retriever_cfg(learn_temperature=True))
    state = {prefix + k: v for k, v in retriever.state_dict().items()}
    assert prefix + 'losses.id.classifier.weight' in state
    path = tmp_path / 'epoch_1.pth'
    torch.save({'meta': {'epoch': 1}, 'state_dict': state}, path)
    encoder = OpenCLIPEncoder(tiny_clip_cfg(), pretrained=path)
    for name, value in retriever.encoder.state_dict().items():
        torch.testing.assert_close(encoder.state_dict()[name], value)


def test_a_merged_adapter_model_gives_its_encoder(source, tmp_path):
    state = {f'encoder.module.{k}': v for k, v in source.state_dict().items()}
    state['losses.id.classifier.weight'] = torch.zeros(2, 2)
    torch.save(state, tmp_path / 'merged.pth')
    _same(_load(tmp_path / 'merged.pth'), source)


def test_adapters_in_the_file_are_named(source, tmp_path):
    state = {f'encoder.module.{k}': v for k, v in source.state_dict().items()}
    state['encoder.module.clip.visual.x.lora_A'] = torch.zeros(1)
    torch.save(state, tmp_path / 'adapted.pth')
    with pytest.raises(ValueError, match='merge_adapters'):
        _load(tmp_path / 'adapted.pth')


def test_unknown_missing_and_misshapen_keys_are_named(source, tmp_path):
    state = dict(source.clip.state_dict())
    state['visual.extra'] = torch.zeros(1)
    del state['ln_final.bias']
    state['visual.proj'] = torch.zeros(32, 8)
    torch.save(state, tmp_path / 'odd.pt')
    with pytest.raises(ValueError, match='does not fit') as error:
        _load(tmp_path / 'odd.pt')
    message = str(error.value)
    assert '1 missing key (ln_final.bias)' in message
    assert '1 unexpected key (visual.extra)' in message
    assert 'visual.proj (32, 8) for (32, 32)' in message
    assert 'odd.pt' in message


def test_two_models_in_one_file_are_refused(source, tmp_path):
    state = {}
    for prefix in ('student.', 'teacher.'):
        state.update({prefix + k: v for k, v in source.state_dict().items()})
    torch.save(state, tmp_path / 'two.pt')
    with pytest.raises(ValueError, match='several prefixes'):
        _load(tmp_path / 'two.pt')


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / 'clip.pt'
    path.write_bytes(b'not a checkpoint')
    with pytest.raises(ValueError, match=r'clip\.pt'):
        _load(path)


def test_positions_are_resized_bilinearly(source, tmp_path):
    torch.save(source.clip.state_dict(), tmp_path / 'clip.pt')
    encoder = _load(tmp_path / 'clip.pt', image_size=(96, 32))
    old = source.clip.visual.positional_embedding
    new = encoder.clip.visual.positional_embedding
    grid = old[1:].reshape(4, 4, -1).permute(2, 0, 1)[None]
    wanted = F.interpolate(grid, (6, 2), mode='bilinear')[0].flatten(1).t()
    assert new.shape == (13, 32)
    torch.testing.assert_close(new[0], old[0])
    torch.testing.assert_close(new[1:], wanted)
    cubic = _load(
        tmp_path / 'clip.pt',
        image_size=(96, 32),
        interpolation='bicubic',
        antialias=True,
    )
    changed = cubic.clip.visual.positional_embedding
    assert (changed - new).abs().max() > 1e-3


def test_equal_numbers_of_positions_are_not_equal_grids(source, tmp_path):
    """4 x 4 of a published file becomes 8 x 2; our own 8 x 2 stays."""
    torch.save(source.clip.state_dict(), tmp_path / 'clip.pt')
    encoder = _load(tmp_path / 'clip.pt', image_size=(128, 32))
    old = source.clip.visual.positional_embedding
    new = encoder.clip.visual.positional_embedding
    torch.testing.assert_close(new, resize_positions(old, (8, 2)))
    torch.save({'state_dict': encoder.state_dict()}, tmp_path / 'own.pth')
    again = _load(tmp_path / 'own.pth', image_size=(128, 32))
    torch.testing.assert_close(again.clip.visual.positional_embedding, new)


def test_grids_that_are_not_square_resize_from_a_given_size(source, tmp_path):
    torch.save(source.clip.state_dict(), tmp_path / 'clip.pt')
    encoder = _load(tmp_path / 'clip.pt', image_size=(128, 32))
    torch.save({'state_dict': encoder.state_dict()}, tmp_path / 'own.pth')
    larger = _load(
        tmp_path / 'own.pth', image_size=(192, 64), pretrained_size=(128, 32)
    )
    old = encoder.clip.visual.positional_embedding
    torch.testing.assert_close(
        larger.clip.visual.positional_embedding,
        resize_positions(old, (12, 4), source=(8, 2)),
    )
    same = _load(
        tmp_path / 'own.pth', image_size=(64, 64), pretrained_size=(128, 32)
    )
    assert not torch.equal(same.clip.visual.positional_embedding, old)


def test_positions_of_no_square_are_refused():
    with pytest.raises(ValueError, match='12 positions are no 3x3 grid'):
        resize_positions(torch.zeros(13, 4), (3, 3))


def test_text_positions_follow_the_context_length(source, tmp_path):
    torch.save(source.clip.state_dict(), tmp_path / 'clip.pt')
    encoder = _load(tmp_path / 'clip.pt', context_length=8)
    assert encoder.context_length == 8
    assert encoder.encode_text(torch.ones(1, 8).long()).shape == (1, 32)


@pytest.mark.parametrize('kind', ['resnet', 'timm'])
def test_other_towers_load_at_native_and_at_own_size(kind, tmp_path):
    vision = {
        'resnet': dict(image_size=64, layers=[1, 1, 1, 1], width=8),
        'timm': dict(timm_model_name='test_vit', timm_pool='token'),
    }[kind]
    config = dict(CONFIG, vision_cfg=vision)
    native = OpenCLIPEncoder(config).eval()
    torch.save(native.clip.state_dict(), tmp_path / 'native.pt')
    options = dict(image_size=(128, 64))
    one = OpenCLIPEncoder(config, tmp_path / 'native.pt', **options).eval()
    torch.save({'state_dict': one.state_dict()}, tmp_path / 'own.pth')
    two = OpenCLIPEncoder(config, tmp_path / 'own.pth', **options).eval()
    _same(one, two)
    same = native.clip.visual.state_dict()
    for name, value in one.clip.visual.state_dict().items():
        if same[name].shape == value.shape:
            torch.testing.assert_close(value, same[name])


@pytest.fixture
def _offline(monkeypatch, tmp_path):
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path))
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')

    # Older versions of open_clip have an address and a cache besides.
    def no_network(*args, **kwargs):
        raise OSError('no network in tests')

    monkeypatch.setattr('urllib.request.urlopen', no_network)
    monkeypatch.setenv('HOME', str(tmp_path))


@pytest.mark.usefixtures('_offline')
def test_offline_and_absent_names_both_ways():
    with pytest.raises(ValueError, match='Two ways') as error:
        OpenCLIPEncoder('RN50', pretrained='openai')
    message = str(error.value)
    assert '"openai" of model "RN50"' in message
    assert 'network' in message
    assert 'set pretrained to its path' in message


@pytest.mark.parametrize('model', ['ViT-B-16', CONFIG])
def test_neither_file_nor_tag(model):
    with pytest.raises(ValueError, match='neither an existing file') as error:
        OpenCLIPEncoder(model, pretrained='weights/none.pt')
    assert 'weights/none.pt' in str(error.value)
    tags = 'openai' if isinstance(model, str) else 'tags: none'
    assert tags in str(error.value)


@pytest.mark.usefixtures('_offline')
def test_a_tag_brings_its_activation(source, tmp_path, monkeypatch):
    import open_clip

    torch.save(source.clip.state_dict(), tmp_path / 'tag.pt')
    tag = {'file': str(tmp_path / 'tag.pt'), 'quick_gelu': True}
    monkeypatch.setattr(open_clip, 'get_pretrained_cfg', lambda *_: tag)
    encoder = _load('mine')
    gelu = encoder.clip.transformer.resblocks[0].mlp.gelu
    assert isinstance(gelu, QuickGELU)
