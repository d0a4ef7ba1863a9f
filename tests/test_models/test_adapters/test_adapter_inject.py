"""Injection into a whole model."""

import logging

import pytest
import torch
from adapter_cases import ALL, close, features, stir
from torch import nn

from mmtpr.models.adapters import (
    AdapterLinear,
    DoRALinear,
    LoRALinear,
    WoRALinear,
    adaptable_layers,
    inject_adapters,
    merge_adapters,
    named_adapters,
)


class TestInjection:
    def test_design_example(self, clip, pristine, batch):
        names = inject_adapters(
            clip,
            dict(type='WoRA', rank=8),
            targets=[
                dict(type=r'visual\..*\.mlp\.c_fc'),
                dict(type=r'.*\.attn\.(q|v)', rank=4, alpha=2.0),
            ],
            exclude=(r'transformer\.resblocks\.1\..*',),
        )
        assert names == [
            'visual.transformer.resblocks.0.attn.q',
            'visual.transformer.resblocks.0.attn.v',
            'visual.transformer.resblocks.0.mlp.c_fc',
            'visual.transformer.resblocks.1.attn.q',
            'visual.transformer.resblocks.1.attn.v',
            'visual.transformer.resblocks.1.mlp.c_fc',
            'transformer.resblocks.0.attn.q',
            'transformer.resblocks.0.attn.v',
        ]
        for name in names:
            adapter = clip.get_submodule(name)
            assert isinstance(adapter, WoRALinear)
            fc = name.endswith('c_fc')
            assert adapter.rank == (8 if fc else 4)
            assert adapter.alpha.item() == (8.0 if fc else 2.0)
        close(features(clip, batch), features(pristine, batch))

    def test_every_name_is_offered(self, clip):
        block = 'transformer.resblocks.0'
        names = [n for n in adaptable_layers(clip) if n.startswith(block)]
        assert names == [
            f'{block}.attn.q',
            f'{block}.attn.k',
            f'{block}.attn.v',
            f'{block}.attn.out_proj',
            f'{block}.mlp.c_fc',
            f'{block}.mlp.c_proj',
        ]

    def test_open_clip_forward_builds_no_weight(
        self, clip, batch, monkeypatch
    ):
        """open_clip asks a block's weight for its type in every forward."""
        inject_adapters(clip, dict(type='WoRA', rank=2), ALL)
        built = []
        monkeypatch.setattr(
            AdapterLinear, 'merged_weight', lambda self: built.append(self)
        )
        features(clip, batch)
        assert not built

    def test_torch_compile_of_a_block(self, clip):
        torch._dynamo.reset()
        inject_adapters(clip, dict(type='WoRA', rank=2), ALL)
        block = stir(clip).visual.transformer.resblocks[0]
        compiled = torch.compile(block, backend='aot_eager', fullgraph=True)
        x = torch.randn(2, 5, 32)
        close([compiled(x)], [block(x)])

    def test_first_target_decides(self, clip):
        inject_adapters(
            clip,
            dict(type='DoRA', rank=2, norm_dim='out'),
            [dict(type=r'.*\.0\.mlp\.c_fc', rank=3), dict(type=r'.*\.c_fc')],
        )
        ranks = [(type(a), a.rank) for _, a in named_adapters(clip)]
        assert ranks == [(DoRALinear, 3), (DoRALinear, 2)] * 2

    def test_target_without_match_names_near_ones(self, clip):
        with pytest.raises(ValueError, match='adapts nothing') as error:
            inject_adapters(
                clip,
                dict(type='WoRA'),
                [dict(type='.*c_fc'), dict(type=r'visual\..*\.mlp\.fc1')],
            )
        assert r'visual\\..*\\.mlp\\.fc1' in str(error.value)
        assert 'visual.transformer.resblocks.0.mlp.c_fc' in str(error.value)
        assert not list(named_adapters(clip)), 'the model was changed'

    @pytest.mark.parametrize(
        ('targets', 'exclude', 'message'),
        [
            ([], (), 'targets is empty'),
            (['.*'], (), 'A target is dict'),
            ([dict(rank=3)], (), 'A target is dict'),
            ([dict(type='c_fc')], (), r"match the whole name: try '\.\*c_fc'"),
            (
                [dict(type=r'visual\.ln_pre')],
                (),
                r'ln_pre \(LayerNorm\): not a lin',
            ),
            ([dict(type='(')], (), 'not a regular expression'),
            ([dict(type='.*', rnak=3)], (), 'WoRALinear has no option rnak'),
            ([dict(type='.*', rank=0)], (), 'rank must be an int >= 1'),
            (
                [dict(type='.*c_fc')],
                ('.*',),
                'excluded or taken by an earlier',
            ),
            (
                [dict(type='.*'), dict(type='.*c_fc', rank=2)],
                (),
                'excluded or taken by an earlier target',
            ),
            ([dict(type='.*c_fc')], '.*', 'exclude must be a list'),
        ],
    )
    def test_bad_targets(self, clip, targets, exclude, message):
        with pytest.raises((ValueError, TypeError), match=message):
            inject_adapters(clip, dict(type='WoRA'), targets, exclude)
        assert not list(named_adapters(clip))

    def test_unknown_adapter(self, clip):
        with pytest.raises(ValueError, match='choose from WoRA, DoRA, LoRA'):
            inject_adapters(clip, dict(type='Wora'), ALL)
        with pytest.raises(ValueError, match='LoRALinear has no option beta'):
            inject_adapters(clip, dict(type='LoRA', beta=1.0), ALL)

    def test_twice_is_refused(self, clip):
        inject_adapters(clip, dict(type='WoRA'), [dict(type=r'.*\.attn\.q')])
        with pytest.raises(ValueError, match=r'cannot adapt twice.*attn\.q'):
            inject_adapters(clip, dict(type='LoRA'), ALL)
        names = inject_adapters(
            clip, dict(type='LoRA'), [dict(type=r'.*\.attn\.k')]
        )
        assert len(names) == 4
        assert isinstance(clip.transformer.resblocks[0].attn.q, WoRALinear)
        assert isinstance(clip.transformer.resblocks[0].attn.k, LoRALinear)

    def test_shared_layers_stay_shared(self):
        shared = nn.Linear(4, 4)
        model = nn.ModuleDict(dict(a=shared, b=shared, c=nn.Linear(4, 4)))
        names = inject_adapters(
            model, dict(type='LoRA', rank=2), [dict(type='a|b')]
        )
        assert names == ['a', 'b']
        assert model['a'] is model['b']
        merge_adapters(model, remove=True)
        assert model['a'] is model['b'] is shared


class TestNumbersThatMakeNoSense:
    def model(self):
        return nn.Sequential(nn.Linear(6, 9), nn.MultiheadAttention(12, 2))

    def test_a_rank_above_that_of_the_weight(self, monkeypatch):
        told = []
        monkeypatch.setattr(
            'mmtpr.models.adapters.targets.print_log',
            lambda line, level=None, **_: told.append((level, line)),
        )
        inject_adapters(
            self.model(), dict(type='WoRA', rank=13), [dict(type='.*')]
        )
        ((level, line),) = told
        assert level == logging.WARNING
        assert line.startswith('5 of 5 adapters have a higher rank')
        assert '"0": 13 of at most 6' in line
        told.clear()
        ranks = [dict(type='0', rank=6), dict(type='.*', rank=12)]
        inject_adapters(self.model(), dict(type='WoRA'), ranks)
        assert told == []

    def test_an_exclusion_that_matches_nothing(self):
        model = self.model()
        match = r"qq' of exclude matches no layer.*1\.q"
        with pytest.raises(ValueError, match=match):
            inject_adapters(
                model, dict(type='LoRA'), [dict(type='.*')], [r'1\.qq']
            )
        assert isinstance(model[0], nn.Linear)
