"""APTM and Filtering-WoRA in mmtpr's names and back."""

import importlib.util
import json
import sys

import pytest
import torch
from layouts import aptm, with_wora

from mmtpr.checkpoints import Fit
from mmtpr.converters.keys.aptm import export_aptm, import_aptm
from mmtpr.registry import MODELS

pytest.importorskip(
    'transformers', reason='BERT needs the extra [blip2] (transformers)'
)
pytest.importorskip('mmpretrain.models', reason='Swin is that of mmpretrain')

#: Sizes in the parity cases.
MINI = dict(
    swin_cfg=dict(
        width=16,
        depths=(2, 2, 2, 1),
        heads=(1, 2, 4, 8),
        windows=(4, 4, 4, 2),
        size=(192, 64),
    ),
    bert_cfg=dict(
        width=64,
        hidden=128,
        layers=4,
        fusion=2,
        image=128,
        words=600,
        positions=64,
    ),
    embed=48,
)
ENCODER = dict(type='mmtpr.SwinBertEncoder')
MINI_ENCODER = dict(
    type='mmtpr.SwinBertEncoder',
    image=dict(
        arch=dict(embed_dims=16, depths=[2, 2, 2, 1], num_heads=[1, 2, 4, 8]),
        window_size=4,
    ),
    text=dict(
        hidden_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=128,
        vocab_size=600,
        max_position_embeddings=64,
    ),
    image_size=(192, 64),
    fusion_layer=2,
    embed_dim=48,
)
WORA = dict(type='mmtpr.WoRAModel', rank=8, targets=[dict(type=r'vision\..*')])
CASES = [
    ('aptm_mini', aptm(**MINI), MINI_ENCODER),
    (
        'filtering_wora_mini',
        with_wora(aptm(**MINI)),
        dict(WORA, module=MINI_ENCODER),
    ),
]


def shapes(state):
    return {k: tuple(v.shape) for k, v in state.items()}


def retriever(encoder):
    cfg = dict(type='mmtpr.CrossModalPersonRetriever', encoder=encoder)
    return MODELS.build(cfg)


@pytest.mark.parametrize(
    ('theirs', 'encoder', 'layers', 'millions'),
    [
        (aptm(), ENCODER, 0, (214, 215)),
        (with_wora(aptm()), dict(WORA, module=ENCODER), 99, (216, 217)),
    ],
    ids=['APTM', 'Filtering-WoRA'],
)
def test_full_size_is_one_to_one(
    theirs, encoder, layers, millions, meta_state, on_meta
):
    model = on_meta(lambda: retriever(encoder))
    own = model.state_dict()
    done = import_aptm(meta_state(theirs))
    Fit.of(done.state, own).raise_for('the release')
    assert set(shapes(done.state).items()) == set(shapes(own).items())
    assert all(
        key.endswith(('attn_mask', 'position_ids')) for key in done.ignored
    )
    assert sum(key.endswith('.lora_A') for key in own) == layers
    total = sum(p.numel() for p in model.parameters())
    assert millions[0] < total / 1e6 < millions[1]
    back = export_aptm(own | {'losses.itm.weight': torch.zeros(1)})
    sides = [key for key in back.ignored if key.endswith('.norm_rows')]
    assert len(sides) == layers
    assert set(back.ignored) == {*sides, 'losses.itm.weight'}
    assert shapes(back.state) == {
        k: v for k, v in theirs.items() if k not in done.ignored
    }


@pytest.mark.parametrize(('name', 'layout', 'encoder'), CASES)
def test_released_layouts(name, layout, encoder, parity_file):
    layouts = json.loads(parity_file('layouts.json').read_text())
    assert {k: tuple(v) for k, v in layouts[name].items()} == layout


@pytest.mark.parametrize(('name', 'layout', 'encoder'), CASES)
def test_features_of_the_release(name, layout, encoder, private_parity):
    case = torch.load(private_parity(f'{name}.pt'), weights_only=True)
    assert shapes(case['model']) == layout
    model = retriever(encoder)
    done = import_aptm(case['model'])
    model.load_state_dict(done.state, strict=True)
    model.eval()
    with torch.no_grad():
        image = model.encoder.encode_image(case['image'])
        text = model.encoder.encode_text(case['text_ids'], case['text_atts'])
    normalize = torch.nn.functional.normalize
    for got, name in ((image, 'image_feat'), (text, 'text_feat')):
        torch.testing.assert_close(
            normalize(got), normalize(case[name]), atol=1e-4, rtol=1e-4
        )
    back = export_aptm(model.state_dict())
    assert set(back.state) | set(done.ignored) == set(layout)
    for key, value in back.state.items():
        assert torch.equal(value, case['model'][key]), key


@pytest.mark.parametrize(
    'key',
    [
        'text_encoder.bert.pooler.dense.weight',
        'text_encoder.bert.encoder.layer.0.attention.self.odd.weight',
        'itm_head.weight',
        'vision_encoder.layers.0.blocks.0.attn.qkv.lora.C',
        'bbox_head.0.weight',
    ],
)
def test_keys_without_a_place_stop(key, meta_state):
    state = meta_state({**aptm(**MINI), key: (1,)})
    with pytest.raises(ValueError, match=r'1 keys belong to no part'):
        import_aptm(state)


def test_another_vocabulary_is_named(meta_state):
    config = dict(MINI, bert_cfg=dict(MINI['bert_cfg'], words=500))
    done = import_aptm(meta_state(aptm(**config)))
    with pytest.raises(ValueError, match='500 words there and 600 in the'):
        Fit.of(done.state, retriever(MINI_ENCODER).state_dict()).raise_for(
            'aptm.pth'
        )


@pytest.fixture
def tool(repo_root, monkeypatch, tmp_path):
    path = repo_root / 'tools/model_converters/aptm.py'
    spec = importlib.util.spec_from_file_location('_aptm_tool', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(tmp_path)

    def run(*args):
        monkeypatch.setattr(sys, 'argv', ['aptm', *args])
        module.main()

    return run


def test_the_tool_there_and_back(tool, random_state, tmp_path, capsys):
    state = random_state(with_wora(aptm(**MINI)))
    torch.save(dict(model=state, config=dict(bs=3)), tmp_path / 'wora.pth')
    tool('wora.pth', 'ours.pth')
    printed = capsys.readouterr().out
    assert 'ours.pth: 406 tensors, 31 adapted layers' in printed
    assert 'e.g. config: an entry beside the weights' in printed
    tool('ours.pth', 'back.pth', '--export')
    back = torch.load(tmp_path / 'back.pth', weights_only=True)['model']
    assert len(back) == 375
    assert all(torch.equal(back[key], state[key]) for key in back)
    state['img_cls.1.weight'] = torch.zeros(1)
    torch.save(dict(model=state), tmp_path / 'odd.pth')
    with pytest.raises(SystemExit, match=r'1 keys .* e\.g\. img_cls\.1'):
        tool('odd.pth', 'no.pth')
    torch.save(dict(state_dict=random_state({'fc.weight': (2,)})), 'bad.pth')
    with pytest.raises(SystemExit, match='APTM or X-VLM or Filtering-WoRA'):
        tool('bad.pth', 'no.pth')


def adapted_state(kind, random_state):
    """A retriever's file whose adapters are not those of the release."""
    state = import_aptm(random_state(with_wora(aptm(**MINI)))).state
    merge = 'encoder.module.vision.stages.0.downsample.reduction'
    if kind == 'lora':
        odd = '.magnitude', '.alpha', '.beta'
        return {k: v for k, v in state.items() if not k.endswith(odd)}
    if kind == 'out':
        rows = state[f'{merge}.linear.weight'].norm(dim=1)
        return state | {f'{merge}.magnitude': rows}
    if kind == 'rows':
        return state | {f'{merge}.norm_rows': torch.ones(())}
    if kind == 'alone':
        return {k: v for k, v in state.items() if '.linear.' not in k}
    if kind == 'some':
        state[f'{merge}.weight'] = state.pop(f'{merge}.linear.weight')
        leaves = 'lora_A', 'lora_B', 'magnitude', 'alpha', 'beta'
        gone = {f'{merge}.{leaf}' for leaf in leaves}
        return {k: v for k, v in state.items() if k not in gone}
    gone = 'encoder.module.text_projection.weight'
    return {k: v for k, v in state.items() if k != gone}


@pytest.mark.parametrize(
    ('kind', 'message'),
    [
        ('lora', r'no magnitude, alpha, beta: .* Merge first'),
        ('out', r'reduction\.magnitude" has 32 values for 64 inputs'),
        ('rows', r'reduction" has one magnitude an output feature'),
        ('alone', r'no linear\.weight: .* Merge first'),
        ('some', r'1 linear layers .* no adapter, e\.g\. .*reduction'),
        ('gap', r'not whole: 1 weights .*encoder\.text_projection\.weight'),
    ],
)
def test_other_adapters_are_not_exported(
    kind, message, tool, random_state, tmp_path
):
    state = adapted_state(kind, random_state)
    torch.save(dict(state_dict=state), tmp_path / 'ours.pth')
    with pytest.raises(SystemExit, match=message):
        tool('ours.pth', 'no.pth', '--export')
    assert not (tmp_path / 'no.pth').exists()


def test_adapters_of_a_clip_are_named(tool, tmp_path):
    clip = 'encoder.module.clip.visual.transformer.resblocks.0.mlp.c_fc'
    state = {
        f'{clip}.{leaf}': torch.ones(2, 2)
        for leaf in ('lora_A', 'lora_B', 'linear.weight')
    }
    torch.save(dict(state_dict=state), tmp_path / 'clip.pth')
    with pytest.raises(SystemExit, match='it is mmtpr text retrieval'):
        tool('clip.pth', 'no.pth', '--export')


@pytest.mark.parametrize(
    'gone',
    [
        'text_proj.weight',
        'temp',
        'vision_encoder.norm.bias',
        'vision_encoder.layers.2.downsample.reduction.weight',
        'vision_encoder.layers.0.blocks.1.mlp.fc2.bias',
        'text_encoder.bert.encoder.layer.2.output.dense.weight',
        'text_encoder.cls.predictions.transform.dense.bias',
    ],
)
def test_a_release_with_a_gap_stops(gone, tool, random_state, tmp_path):
    state = random_state(aptm(**MINI))
    del state[gone]
    torch.save(dict(model=state), tmp_path / 'gap.pth')
    with pytest.raises(SystemExit, match='not whole: 1 weights are missing'):
        tool('gap.pth', 'no.pth')
    assert not (tmp_path / 'no.pth').exists()


def test_every_entry_of_a_file_is_accounted_for(
    tool, random_state, tmp_path, capsys
):
    state = random_state(aptm(**MINI))
    odd = {'text_encoder.extra': 3.0, 'nested': {'a': torch.ones(1)}}
    torch.save(dict(model=state | odd), tmp_path / 'odd.pth')
    with pytest.raises(
        SystemExit, match=r'2 keys .*\.extra \(a float, .* nested \(a dict'
    ):
        tool('odd.pth', 'no.pth')
    tool('odd.pth', 'rest.pth', '--ignore', r'nested|.*\.extra')
    both = dict(state_dict=state, model=dict(state), epoch=3)
    torch.save(both, tmp_path / 'both.pth')
    capsys.readouterr()
    tool('both.pth', 'ours.pth')
    printed = capsys.readouterr().out
    assert 'e.g. model: another state dict; the one in "state_dict"' in printed
    assert 'e.g. epoch: an entry beside the weights' in printed
