"""What trains of a model with adapters."""

import copy

import pytest
import torch
from adapter_cases import ALL, features

from mmtpr.models.adapters import (
    adapter_state_dict,
    freeze_except_adapters,
    inject_adapters,
    named_adapters,
)


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
        own = {key for key in own if not key.endswith('norm_rows')}
        for key, tensor in clip.state_dict().items():
            assert torch.equal(tensor, before[key]) != (key in own), key
