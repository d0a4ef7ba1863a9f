"""What targets choose: convolutions, parts of a fused qkv, whole layers."""

import copy
import importlib
import inspect
import re

import pytest
import torch
from stock_backbones import timm_vit
from torch import nn

from mmtpr.models.adapters import (
    AdaptedQKV,
    LoRAConv2d,
    LoRALinear,
    WoRAConv2d,
    adaptable_layers,
    adapter_state_dict,
    inject_adapters,
    register_fused_qkv,
    remove_adapters,
)
from mmtpr.models.adapters.fused_qkv import _KNOWN

LORA = dict(type='LoRA', rank=2)


class Stem(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.depthwise = nn.Conv2d(4, 4, 3, groups=4)
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        return self.fc(self.depthwise(self.conv(x)).mean((2, 3)))


class TestConvolutions:
    def test_a_target_of_convolutions_alone(self):
        model = Stem()
        names = inject_adapters(model, LORA, [dict(type='conv')])
        assert names == ['conv']
        assert isinstance(model.conv, LoRAConv2d)
        assert isinstance(model.depthwise, nn.Conv2d)

    def test_wide_patterns_go_on_to_mean_linear_layers(self, monkeypatch):
        told = []
        monkeypatch.setattr(
            'mmtpr.models.adapters.offer.print_log',
            lambda line, **_: told.append(line),
        )
        model = Stem()
        assert inject_adapters(model, LORA, [dict(type='.*')]) == ['fc']
        (line,) = told
        assert 'matches 2 convolutions too, such as "conv"' in line
        assert isinstance(model.conv, nn.Conv2d)

    def test_unless_convolutions_are_asked_for(self):
        model = Stem()
        targets = [dict(type='.*', convs=True, rank=4)]
        assert inject_adapters(model, dict(type='WoRA'), targets) == [
            *('conv', 'depthwise', 'fc')
        ]
        assert isinstance(model.conv, WoRAConv2d)
        keys = adapter_state_dict(model)
        assert keys['depthwise.lora_A'].shape == (4, 1, 3, 3)
        assert keys['conv.magnitude'].shape == (3,)
        with pytest.raises(ValueError, match='convs must be True'):
            inject_adapters(Stem(), LORA, [dict(type='.*', convs='yes')])
        with pytest.raises(ValueError, match='adapts nothing'):
            inject_adapters(Stem(), LORA, [dict(type='conv', convs=False)])

    def test_groups_that_do_not_divide_the_rank_change_nothing(self):
        model = Stem()
        message = (
            '1 of 3 chosen layers cannot be adapted, such as "depthwise": 4 '
            'groups do not divide rank 2'
        )
        with pytest.raises(ValueError, match=message):
            inject_adapters(model, LORA, [dict(type='.*', convs=True)])
        assert type(model.conv) is nn.Conv2d
        assert type(model.fc) is nn.Linear

    def test_a_class_reaches_convolutions_too(self):
        model = Stem()
        inject_adapters(model, dict(type=LoRALinear), [dict(type='conv')])
        assert isinstance(model.conv, LoRAConv2d)
        model = Stem()
        inject_adapters(model, dict(type=LoRAConv2d), [dict(type='conv')])
        assert isinstance(model.conv, LoRAConv2d)

    def test_shared_convolutions_stay_shared(self):
        model = nn.ModuleDict(dict(a=nn.Conv2d(2, 2, 1)))
        model['b'] = model['a']
        inject_adapters(model, LORA, [dict(type='a|b')])
        assert model['a'] is model['b']


class TestFusedQKV:
    def test_only_the_chosen_parts_change(self):
        plain = timm_vit().eval()
        model = copy.deepcopy(plain)
        targets = [dict(type=r'blocks\.1\.attn\.qkv\.(q|v)')]
        names = inject_adapters(model, LORA, targets)
        assert names == ['blocks.1.attn.qkv.q', 'blocks.1.attn.qkv.v']
        qkv = model.blocks[1].attn.qkv
        assert isinstance(qkv, AdaptedQKV)
        assert type(model.blocks[0].attn.qkv) is nn.Linear
        assert type(qkv.k) is nn.Linear
        assert [*qkv.adapted()] == ['q', 'v']
        with torch.no_grad():
            for layer in qkv.adapted().values():
                layer.lora_B.normal_()
            x = torch.randn(2, 5, 32)
            whole = plain.blocks[1].attn.qkv
            change = (qkv(x) - whole(x)).chunk(3, -1)
            torch.testing.assert_close(
                qkv.weight @ x[0, 0] + qkv.bias, qkv(x)[0, 0]
            )
        q, k, v = (part.abs().max() for part in change)
        assert min(q, v) > 0.1
        assert k < 1e-6
        assert (qkv.in_features, qkv.out_features) == (32, 96)
        bare = remove_adapters(model)
        for key, value in plain.state_dict().items():
            assert torch.equal(bare.state_dict()[key], value), key

    def test_the_whole_is_meant_where_both_match(self):
        model = timm_vit()
        names = inject_adapters(model, LORA, [dict(type=r'blocks\.0\.attn.*')])
        assert names == ['blocks.0.attn.qkv', 'blocks.0.attn.proj']

    def test_first_come(self):
        model = timm_vit()
        targets = [dict(type=r'blocks\.0\.attn\.qkv\.q'), dict(type='.*qkv')]
        assert inject_adapters(model, LORA, targets) == [
            *('blocks.0.attn.qkv.q', 'blocks.1.attn.qkv')
        ]
        with pytest.raises(ValueError, match='taken by an earlier target'):
            inject_adapters(
                timm_vit(), LORA, [dict(type='.*qkv'), dict(type=r'.*qkv\.q')]
            )

    def test_exclude_knows_parts(self):
        model = timm_vit()
        parts = [dict(type=r'.*\.qkv\.(q|k|v)')]
        names = inject_adapters(model, LORA, parts, [r'.*\.k', 'blocks.0.*'])
        assert names == ['blocks.1.attn.qkv.q', 'blocks.1.attn.qkv.v']
        with pytest.raises(ValueError, match=r'"blocks\.0\.attn\.qkv\.k", a'):
            inject_adapters(
                timm_vit(), LORA, [dict(type='.*qkv')], [r'.*\.qkv\.k']
            )

    def test_names_offered(self):
        plain = adaptable_layers(timm_vit())
        assert 'blocks.0.attn.qkv' in plain
        assert 'blocks.0.attn.qkv.q' not in plain
        assert 'patch_embed.proj' not in plain
        every = adaptable_layers(timm_vit(), convs=True, parts=True)
        assert {'blocks.0.attn.qkv.q', 'patch_embed.proj'} <= set(every)

    def test_a_file_of_the_plain_model_is_refused(self):
        plain = timm_vit()
        model = copy.deepcopy(plain)
        inject_adapters(model, LORA, [dict(type=r'.*\.qkv\.q')])
        with pytest.raises(RuntimeError, match=r'attn\.qkv\.weight'):
            model.load_state_dict(plain.state_dict(), strict=False)

    def test_an_unknown_layout_offers_no_parts(self):
        class Odd(nn.Module):
            def __init__(self):
                super().__init__()
                self.qkv = nn.Linear(4, 12)

            def forward(self, x):
                return self.qkv(x)

        targets = [dict(type=r'0\.qkv\.q')]
        with pytest.raises(ValueError, match='any order in a Odd') as error:
            inject_adapters(nn.Sequential(Odd()), LORA, targets)
        assert 'register_fused_qkv' in str(error.value)
        assert 'The model offers 1 linear layers.' in str(error.value)
        register_fused_qkv(Odd)
        model = nn.Sequential(Odd())
        assert inject_adapters(model, LORA, targets) == ['0.qkv.q']

        class Other(Odd):
            def forward(self, x):
                return self.qkv(x).flip(-1)

        with pytest.raises(ValueError, match='any order in a Other'):
            inject_adapters(nn.Sequential(Other()), LORA, targets)

    def test_known_classes_cut_as_told(self):
        """Where the libraries are installed, their code says the same."""
        seen = 0
        for room, names in _KNOWN.items():
            if room.startswith('dinov2'):
                continue  # not a package
            pytest.importorskip(room.partition('.')[0])
            module = importlib.import_module(room)
            for name in names:
                code = inspect.getsource(getattr(module, name).forward)
                fused = re.search(
                    r'qkv.*?(reshape|view)\([^)]*\b3, |chunk\(3', code, re.S
                )
                assert fused, f'{room}.{name}'
                seen += 1
        assert seen > 20


def test_a_target_without_a_match_lists_what_there_is():
    with pytest.raises(ValueError, match='adapts nothing') as error:
        inject_adapters(timm_vit(), LORA, [dict(type='blocks.9.attn.qkv')])
    text = str(error.value)
    assert 'blocks.1.attn.qkv' in text
    assert (
        'The model offers 8 linear layers, 6 parts of attentions, 1 ' in text
    )


def test_a_convolution_with_a_forward_of_its_own():
    class Own(nn.Conv2d):
        def forward(self, x):
            return super().forward(x) * 2

    with pytest.raises(ValueError, match=r'It matches 0 \(Own\): not a'):
        inject_adapters(nn.Sequential(Own(2, 2, 1)), LORA, [dict(type='0')])
