"""Modes of frozen layers, with and without adapters in them."""

import pytest
import torch
from torch import nn

from mmtpr.models.adapters import named_adapters
from mmtpr.models.freezing import freeze, frozen_layers, rest_frozen
from mmtpr.registry import MODELS
from mmtpr.testing import tiny_blip2_cfg, tiny_clip_cfg, tiny_swin_bert_cfg

PARTS = {'tower': (r'tower',), 'head': (r'head\.\d', 'scale')}


class _Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tower = nn.Sequential(
            nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)
        )
        self.head = nn.Sequential(nn.Linear(4, 2), nn.Dropout(0.5))
        self.scale = nn.Parameter(torch.ones(()))


def _trained(model: nn.Module) -> set[str]:
    return {n for n, p in model.named_parameters() if p.requires_grad}


def test_parts_freeze_by_the_names_of_modules_and_parameters():
    model = _Model()
    assert freeze(model, PARTS, 'tower') == ('tower',)
    assert _trained(model) == {'head.0.weight', 'head.0.bias', 'scale'}
    assert freeze(model, PARTS, ['head']) == ('head',)
    assert not _trained(model)


def test_unknown_parts_are_named():
    with pytest.raises(ValueError, match=r"takes \['head', 'tower'\], got x"):
        freeze(_Model(), PARTS, ('head', 'x'))
    with pytest.raises(ValueError, match="_Model has no parameter 'torso'"):
        freeze(_Model(), {'tower': ('torso',)}, ('tower',))


def test_frozen_layers_rest_and_thawed_ones_follow():
    model = _Model()
    freeze(model, PARTS, ('tower',))
    layers = frozen_layers(model, PARTS, ('tower',))
    assert layers == list(model.tower.modules())
    rest_frozen(layers)
    assert not any(layer.training for layer in layers)
    assert all(layer.training for layer in model.head.modules())
    model.tower[1].requires_grad_(True)
    model.train()
    rest_frozen(layers)
    assert [layer.training for layer in model.tower] == [False, True, False]
    model.eval()
    rest_frozen(layers)
    assert not model.tower[1].training


def _open_clip(**kwargs) -> tuple[dict, str]:
    cfg = dict(type='mmtpr.OpenCLIPEncoder', model=tiny_clip_cfg(), **kwargs)
    return cfg, r'clip\.visual\..*(c_fc|out_proj)'


def _blip2(**kwargs) -> tuple[dict, str]:
    frozen = kwargs.get('frozen', ())
    cfg = tiny_blip2_cfg(**{**kwargs, 'frozen': frozen})
    return cfg, r'blip2\.(vision_model|qformer)\..*\.(fc1|dense)'


def _swin_bert() -> tuple[dict, str]:
    return tiny_swin_bert_cfg(), r'vision\..*\.qkv|bert\..*\.dense'


CASES = {
    'open_clip': (_open_clip, dict(frozen=('visual',))),
    'blip2': (_blip2, dict(frozen=('vision', 'qformer'))),
    'open_clip_free': (_open_clip, {}),
    'blip2_free': (_blip2, {}),
    'swin_bert': (_swin_bert, {}),
}


@pytest.fixture(params=CASES)
def adapted(request) -> nn.Module:
    """An encoder whose adapters have dropout, in a frozen tower or not."""
    if request.param != 'open_clip':
        pytest.importorskip('transformers', reason='needs the extra [blip2]')
    if request.param == 'swin_bert':
        pytest.importorskip('mmpretrain.models', reason='needs [openmmlab]')
    make, kwargs = CASES[request.param]
    cfg, targets = make(**kwargs)
    return MODELS.build(
        dict(
            type='mmtpr.WoRAModel',
            module=cfg,
            rank=2,
            drop_rate=0.5,
            targets=[dict(type=targets)],
        )
    )


def test_dropout_of_adapters_follows_the_model(adapted):
    _, adapter = next(iter(named_adapters(adapted)))
    nn.init.normal_(adapter.lora_B)
    x = torch.randn(3, adapter.in_features)
    for _ in range(2):
        adapted.train()
        assert all(a.training for _, a in named_adapters(adapted))
        assert not torch.equal(adapter(x), adapter(x))
        adapted.eval()
        assert not any(m.training for m in adapted.modules())
        assert torch.equal(adapter(x), adapter(x))


@pytest.mark.parametrize('name', ['blip2', 'open_clip'])
def test_what_an_adapted_tower_had_before_rests(name):
    if name == 'blip2':
        pytest.importorskip('transformers', reason='needs the extra [blip2]')
    make, kwargs = CASES[name]
    cfg, targets = make(**kwargs)
    if name == 'open_clip':
        cfg['model']['vision_cfg'] |= dict(
            layers=[1, 1, 1, 1], width=8, image_size=64
        )
        targets = r'clip\.visual\.attnpool\.c_proj'
    model = MODELS.build(
        dict(type='mmtpr.WoRAModel', module=cfg, targets=[dict(type=targets)])
    ).train()
    tower = model.blip2 if name == 'blip2' else model.clip.visual
    kinds = nn.Dropout | nn.BatchNorm2d
    layers = [m for m in tower.modules() if isinstance(m, kinds)]
    assert layers
    assert not any(layer.training for layer in layers)


def test_a_frozen_encoder_rests_with_its_adapters():
    cfg, targets = _open_clip()
    encoder = dict(
        type='mmtpr.WoRAModel', module=cfg, targets=[dict(type=targets)]
    )
    model = MODELS.build(
        dict(
            type='mmtpr.ComposedPersonRetriever',
            encoder=encoder,
            losses=dict(text=dict(type='mmtpr.SDMLoss')),
            freeze_encoder=True,
        )
    ).train()
    assert not any(m.training for m in model.encoder.modules())
    assert model.query.training
