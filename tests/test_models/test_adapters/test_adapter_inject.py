"""Injection, freezing, merging and state dicts on a whole model."""

import copy

import open_clip
import pytest
import torch
from torch import nn

from mmtpr.models.adapters import (
    AdapterLinear,
    DoRALinear,
    LoRALinear,
    WoRALinear,
    adaptable_layers,
    adapter_state_dict,
    freeze_except_adapters,
    inject_adapters,
    load_adapter_state_dict,
    load_trainable_state_dict,
    merge_adapters,
    named_adapters,
    trainable_state_dict,
    unmerge_adapters,
)

ALL = [dict(type=r'(visual|transformer)\..*')]


@pytest.fixture(scope='module')
def pristine():
    torch.manual_seed(0)
    return open_clip.CLIP(
        embed_dim=16,
        vision_cfg=dict(
            image_size=16, layers=2, width=32, patch_size=8, head_width=16
        ),
        text_cfg=dict(
            context_length=8, vocab_size=50, width=32, heads=2, layers=2
        ),
    )


@pytest.fixture
def clip(pristine):
    return copy.deepcopy(pristine)


@pytest.fixture(scope='module')
def batch():
    torch.manual_seed(1)
    return torch.randn(3, 3, 16, 16), torch.randint(1, 50, (3, 8))


def features(model, batch):
    return model.encode_image(batch[0]), model.encode_text(batch[1])


def close(found, expected, atol=1e-5):
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=atol, rtol=0)


def stir(model, std=0.2):
    torch.manual_seed(5)
    for _, adapter in named_adapters(model):
        nn.init.normal_(adapter.lora_B, std=std)
    return model


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
                [dict(type=r'visual\.conv1')],
                (),
                r'conv1 \(Conv2d\): not a lin',
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


class TestFreezing:
    def test_adapters_and_patterns_train(self, clip):
        inject_adapters(clip, dict(type='WoRA', rank=2), ALL)
        names = freeze_except_adapters(
            clip, [r'logit_scale', r'visual\..*\.ln_1', r'.*\.ln_2\.weight']
        )
        own = {k for k in names if '.lora_' in k}
        assert len(own) == 2 * len(list(named_adapters(clip)))
        rest = [k for k in names if '.ln_' in k or k == 'logit_scale']
        assert sorted(rest) == sorted(
            [
                'logit_scale',
                *[
                    f'visual.transformer.resblocks.{i}.ln_1.{p}'
                    for i in (0, 1)
                    for p in ('weight', 'bias')
                ],
                *[
                    f'{tower}transformer.resblocks.{i}.ln_2.weight'
                    for tower in ('visual.', '')
                    for i in (0, 1)
                ],
            ]
        )
        scalars = {k for k in names if k.endswith(('.alpha', '.beta'))}
        assert len(scalars) == len(own)
        assert len(names) == len(rest) + len(own) * 5 // 2

    def test_weights_below_adapters_never_train(self, clip):
        inject_adapters(clip, dict(type='DoRA', rank=2), ALL)
        names = freeze_except_adapters(clip, ['.*'])
        assert not any('.linear.' in name for name in names)
        assert not any(name.endswith('.alpha') for name in names)
        assert 'visual.conv1.weight' in names
        with pytest.raises(ValueError, match='below adapters cannot'):
            freeze_except_adapters(clip, [r'.*\.c_fc\.linear\.weight'])

    def test_pattern_without_match(self, clip):
        inject_adapters(clip, dict(type='WoRA', rank=2), ALL)
        with pytest.raises(ValueError, match='logit_skale') as error:
            freeze_except_adapters(clip, ['logit_skale'])
        assert 'logit_scale' in str(error.value)

    def test_optimizer_changes_the_adapters_only(self, clip, batch):
        inject_adapters(clip, dict(type='WoRA', rank=2), ALL)
        freeze_except_adapters(clip)
        before = copy.deepcopy(clip.state_dict())
        optimizer = torch.optim.AdamW(
            [p for p in clip.parameters() if p.requires_grad], lr=0.01
        )
        losses = []
        for _ in range(4):
            image, text = features(clip, batch)
            loss = (image - text).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0]
        own = set(adapter_state_dict(clip))
        for key, tensor in clip.state_dict().items():
            assert torch.equal(tensor, before[key]) != (key in own), key


@pytest.mark.parametrize('kind', ['WoRA', 'DoRA', 'LoRA'])
class TestMerging:
    def test_merge_and_unmerge(self, clip, batch, kind):
        inject_adapters(clip, dict(type=kind, rank=2), ALL)
        stir(clip)
        base = {n: a.linear.weight.clone() for n, a in named_adapters(clip)}
        before = features(clip, batch)
        assert merge_adapters(clip) is clip
        close(features(clip, batch), before)
        assert unmerge_adapters(clip) is clip
        for name, adapter in named_adapters(clip):
            assert torch.equal(adapter.linear.weight, base[name])
        for a, b in zip(features(clip, batch), before, strict=True):
            assert torch.equal(a, b)

    def test_removal_restores_the_plain_model(
        self, clip, pristine, batch, kind
    ):
        inject_adapters(clip, dict(type=kind, rank=2), ALL)
        stir(clip)
        before = features(clip, batch)
        merge_adapters(clip, remove=True)
        assert [(n, type(m)) for n, m in clip.named_modules()] == [
            (n, type(m)) for n, m in pristine.named_modules()
        ]
        assert list(clip.state_dict()) == list(pristine.state_dict())
        plain = copy.deepcopy(pristine)
        plain.load_state_dict(clip.state_dict())
        close(features(plain, batch), before)
        with pytest.raises(ValueError, match='no adapters to merge'):
            merge_adapters(clip)


class TestStateDicts:
    def test_exactly_the_adapters_keys(self, clip):
        names = inject_adapters(
            clip, dict(type='WoRA', rank=2), [dict(type=r'.*\.attn\.(q|k)')]
        )
        state = adapter_state_dict(clip)
        leaves = ('lora_A', 'lora_B', 'alpha', 'beta', 'magnitude')
        assert set(state) == {f'{n}.{k}' for n in names for k in leaves}
        assert set(state) < set(clip.state_dict())
        assert not any(tensor.requires_grad for tensor in state.values())

    def test_trainable_state_dict(self):
        model = nn.Sequential(
            nn.Linear(4, 4),
            nn.BatchNorm1d(4),
            nn.Linear(4, 4),
            nn.BatchNorm1d(4),
        )
        inject_adapters(model, dict(type='LoRA', rank=2), [dict(type='0')])
        freeze_except_adapters(model, ['3'])
        assert list(trainable_state_dict(model)) == [
            '0.lora_A',
            '0.lora_B',
            '0.alpha',
            '3.weight',
            '3.bias',
            '3.running_mean',
            '3.running_var',
            '3.num_batches_tracked',
        ]
        saved = copy.deepcopy(trainable_state_dict(model))
        with torch.no_grad():
            model[3].weight.zero_()
            model[0].lora_A.zero_()
        load_trainable_state_dict(model, saved)
        assert model[3].weight.any()
        assert model[0].lora_A.any()
        del saved['3.weight']
        with pytest.raises(RuntimeError, match=r'Keys missing: 3\.weight'):
            load_trainable_state_dict(model, saved)

    def test_round_trip(self, pristine, batch):
        first, second = copy.deepcopy(pristine), copy.deepcopy(pristine)
        for model in (first, second):
            inject_adapters(model, dict(type='WoRA', rank=2), ALL)
        stir(first)
        merge_adapters(second)
        load_adapter_state_dict(second, adapter_state_dict(first))
        for a, b in zip(
            features(first, batch), features(second, batch), strict=True
        ):
            assert torch.equal(a, b)

    def test_keys_that_do_not_fit(self, clip):
        inject_adapters(clip, dict(type='WoRA', rank=2), ALL)
        before = copy.deepcopy(adapter_state_dict(clip))
        state = {k: v + 1 for k, v in before.items()}
        key = 'transformer.resblocks.0.mlp.c_fc.lora_A'
        moved = dict(state)
        moved['elsewhere.lora_A'] = moved.pop(key)
        with pytest.raises(RuntimeError, match='does not fit') as error:
            load_adapter_state_dict(clip, moved)
        assert f'missing: {key}.' in str(error.value)
        assert 'unexpected: elsewhere.lora_A.' in str(error.value)
        wide = dict(state, **{key: torch.zeros(3, 32)})
        with pytest.raises(RuntimeError, match=r'\(3, 32\) instead of \(2, 3'):
            load_adapter_state_dict(clip, wide)
        after = adapter_state_dict(clip)
        assert all(torch.equal(before[k], after[k]) for k in before)


class TestLoadingChecks:
    """What ``load_state_dict`` says, strict or not."""

    @pytest.fixture
    def adapted(self, clip):
        inject_adapters(
            clip, dict(type='WoRA', rank=2), [dict(type=r'.*\.(q|c_fc)')]
        )
        return clip

    @pytest.mark.parametrize('strict', [True, False])
    def test_missing(self, adapted, strict):
        state = adapted.state_dict()
        key = 'visual.transformer.resblocks.1.mlp.c_fc.alpha'
        del state[key]
        with pytest.raises(RuntimeError, match=f'Missing adapter keys: {key}'):
            adapted.load_state_dict(state, strict=strict)

    @pytest.mark.parametrize('strict', [True, False])
    def test_unexpected(self, adapted, strict):
        state = adapted.state_dict()
        key = 'visual.transformer.resblocks.1.mlp.c_proj'
        state[f'{key}.lora_A'] = torch.zeros(2, 128)
        state[f'{key}.alpha'] = torch.zeros(())
        with pytest.raises(
            RuntimeError,
            match=f'Unexpected adapter keys: {key}.alpha, {key}.lora_A',
        ):
            adapted.load_state_dict(state, strict=strict)

    @pytest.mark.parametrize('strict', [True, False])
    def test_plain_weights(self, adapted, pristine, strict):
        with pytest.raises(RuntimeError, match='before injection') as error:
            adapted.load_state_dict(pristine.state_dict(), strict=strict)
        assert 'resblocks.0.attn.in_proj_weight' in str(error.value)
        assert 'resblocks.0.mlp.c_fc.weight' in str(error.value)

    def test_adapters_alone_load(self, adapted, pristine, batch):
        other = copy.deepcopy(adapted)
        stir(adapted)
        result = other.load_state_dict(adapter_state_dict(adapted), False)
        assert not result.unexpected_keys
        close(features(other, batch), features(adapted, batch), atol=0)

    def test_a_siblings_own_scalar_is_left_alone(self):
        class Sibling(nn.Module):
            def __init__(self):
                super().__init__()
                self.alpha = nn.Parameter(torch.zeros(()))

        model = nn.ModuleDict(dict(a=nn.Linear(4, 4), s=Sibling()))
        inject_adapters(model, dict(type='LoRA', rank=2), [dict(type='a')])
        model.load_state_dict(model.state_dict())
        assert 's.alpha' not in adapter_state_dict(model)

    def test_the_check_follows_a_deepcopy_and_ends_with_the_adapters(
        self, adapted
    ):
        clone = copy.deepcopy(adapted)
        with pytest.raises(RuntimeError, match='Missing adapter keys'):
            clone.load_state_dict({}, strict=False)
        merge_adapters(clone, remove=True)
        clone.load_state_dict({}, strict=False)
        with pytest.raises(RuntimeError, match='Missing adapter keys'):
            adapted.load_state_dict({}, strict=False)
