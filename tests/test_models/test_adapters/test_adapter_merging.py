"""Merging the adapters of a whole model."""

import copy

import pytest
import torch
from adapter_cases import ALL, close, features, stir

from mmtpr.models.adapters import (
    inject_adapters,
    merge_adapters,
    named_adapters,
    unmerge_adapters,
)


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
