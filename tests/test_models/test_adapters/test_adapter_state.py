"""State dicts of a model with adapters, and what loading them says."""

import copy

import pytest
import torch
from adapter_cases import ALL, close, features, stir
from torch import nn

from mmtpr.models.adapters import (
    adapter_state_dict,
    freeze_except_adapters,
    inject_adapters,
    load_adapter_state_dict,
    load_trainable_state_dict,
    merge_adapters,
    trainable_state_dict,
)


class TestStateDicts:
    def test_exactly_the_adapters_keys(self, clip):
        names = inject_adapters(
            clip, dict(type='WoRA', rank=2), [dict(type=r'.*\.attn\.(q|k)')]
        )
        state = adapter_state_dict(clip)
        leaves = ('lora_A', 'lora_B', 'alpha', 'beta', 'magnitude')
        leaves = (*leaves, 'norm_rows')
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
        state = {
            k: v if k.endswith('norm_rows') else v + 1
            for k, v in before.items()
        }
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
