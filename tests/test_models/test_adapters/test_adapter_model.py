"""AdapterModel and WoRAModel: around a part, around a whole model."""

import copy

import pytest
import torch
from adapter_models import TARGETS, Backbone, Classifier
from mmengine.model import ExponentialMovingAverage
from mmengine.optim import build_optim_wrapper
from mmengine.runner import load_checkpoint
from torch import nn

from mmtpr.models.adapters import (
    AdapterModel,
    DoRALinear,
    WoRAModel,
    adapter_state_dict,
    merge_adapters,
    named_adapters,
)
from mmtpr.registry import MODELS
from mmtpr.testing import tiny_encoder_cfg

pytestmark = pytest.mark.smoke


@pytest.fixture
def wrapped():
    torch.manual_seed(0)
    return WoRAModel(Backbone(), rank=2, alpha=4.0, targets=TARGETS)


class TestConstruction:
    def test_pretrained_weights_come_before_the_magnitudes(self, wrapped):
        fc1 = wrapped.module.fc1
        assert torch.equal(fc1.linear.weight, torch.full((8, 6), 0.5))
        torch.testing.assert_close(
            fc1.magnitude, torch.full((6,), 0.5 * 8**0.5)
        )
        assert wrapped.times == 1

    def test_initialising_later_changes_nothing(self, wrapped):
        model = Classifier(wrapped)
        before = copy.deepcopy(wrapped.state_dict())
        model.init_weights()
        assert wrapped.times == 1
        assert wrapped.is_init
        after = wrapped.state_dict()
        assert all(torch.equal(before[k], after[k]) for k in before)

    def test_a_parent_that_overwrites_weights_is_caught(self, wrapped):
        init_cfg = dict(type='Normal', layer='Linear', std=0.1)
        model = Classifier(wrapped, init_cfg)
        with pytest.raises(RuntimeError, match=r'overwritten.*fc1, fc2'):
            model.init_weights()

    def test_mmpretrain_arguments_and_overrides(self):
        model = WoRAModel(
            module=Backbone(),
            alpha=4,
            rank=4,
            drop_rate=0.1,
            targets=[
                dict(type='fc1'),
                dict(type='fc2', drop_rate=0.3, beta=2),
            ],
        )
        assert model.fc1.dropout == 0.1
        assert model.fc1.alpha.item() == 4
        assert model.fc2.dropout == 0.3
        assert model.fc2.beta.item() == 2
        assert model.adapted_layers == ['fc1', 'fc2']

    def test_general_form(self):
        model = MODELS.build(
            dict(
                type='mmtpr.AdapterModel',
                module=tiny_encoder_cfg(),
                adapter=dict(type='DoRA', rank=2, norm_dim='out'),
                targets=[dict(type=r'clip\.visual\..*')],
                exclude=[r'.*\.attn\.(k|out_proj)'],
                trainable=[r'clip\.logit_scale', r'clip\.visual\..*\.ln_1'],
            )
        )
        adapters = dict(named_adapters(model.module))
        assert list(adapters) == model.adapted_layers
        assert all(isinstance(a, DoRALinear) for a in adapters.values())
        assert not any('.attn.k' in name for name in adapters)
        trains = {n for n, p in model.named_parameters() if p.requires_grad}
        rest = {n for n in trains if '.ln_1.' in n or 'logit_scale' in n}
        assert 'module.clip.logit_scale' in rest
        own = {
            f'module.{name}.{key}'
            for name in adapters
            for key in ('lora_A', 'lora_B', 'magnitude')
        }
        assert trains == own | rest
        images = torch.randn(2, 3, *model.image_size)
        assert model.encode_image(images).shape == (2, model.embed_dim)

    def test_nothing_matched(self):
        with pytest.raises(ValueError, match='targets is empty'):
            WoRAModel(Backbone())
        with pytest.raises(ValueError, match='Near names: fc1'):
            WoRAModel(Backbone(), targets=[dict(type='fc_1')])
        with pytest.raises(ValueError, match="trainable pattern 'nrom'"):
            WoRAModel(Backbone(), targets=TARGETS, trainable=['nrom'])


class TestBehaviour:
    def test_attributes_of_the_module(self, wrapped):
        assert wrapped.describe() == 'a backbone'
        assert wrapped.fc1 is wrapped.module.fc1
        with pytest.raises(AttributeError, match='no_such_thing'):
            _ = wrapped.no_such_thing
        assert isinstance(copy.deepcopy(wrapped), WoRAModel)

    def test_frozen_batch_norm_keeps_its_statistics(self, wrapped):
        x = torch.randn(9, 6)
        wrapped.train()
        wrapped(x)
        assert not wrapped.norm.running_mean.any()
        thawed = WoRAModel(Backbone(), targets=TARGETS, trainable=['norm'])
        thawed.train()(x)
        assert thawed.norm.running_mean.any()
        assert not thawed.eval().norm.training

    def test_merge_and_unmerge(self, wrapped):
        for _, adapter in named_adapters(wrapped):
            nn.init.normal_(adapter.lora_B)
        wrapped.eval()
        x = torch.randn(5, 6)
        before = wrapped(x)
        wrapped.merge()
        torch.testing.assert_close(wrapped(x), before, atol=1e-5, rtol=0)
        wrapped.unmerge()
        assert torch.equal(wrapped(x), before)

    def test_removal_unwraps_a_part_and_the_top(self, wrapped):
        model = Classifier(wrapped)
        plain = Classifier(Backbone())
        assert merge_adapters(model, remove=True) is model
        assert list(model.state_dict()) == list(plain.state_dict())
        assert type(model.backbone) is Backbone
        top = WoRAModel(Backbone(), targets=TARGETS)
        assert type(merge_adapters(top, remove=True)) is Backbone

    def test_siblings_keys_are_untouched(self, wrapped):
        model = Classifier(wrapped)
        state = model.state_dict()
        assert {'before.weight', 'head.weight'} <= set(state)
        assert 'backbone.module.fc1.linear.weight' in state
        own = adapter_state_dict(model)
        assert all(k.startswith('backbone.module.fc') for k in own)
        assert set(wrapped.adapter_state_dict()) == {
            k.removeprefix('backbone.') for k in own
        }

    def test_averaged_model(self, wrapped):
        """EMA starts from a deepcopy and averages all parameters."""
        average = ExponentialMovingAverage(wrapped, momentum=0.5)
        x = torch.randn(5, 6)
        wrapped.eval()
        average.eval()
        average.update_parameters(wrapped)
        torch.testing.assert_close(average(x), wrapped(x))
        with torch.no_grad():
            wrapped.fc1.lora_B.normal_()
        average.update_parameters(wrapped)
        torch.testing.assert_close(
            average.module.fc1.lora_B, wrapped.fc1.lora_B / 2
        )
        assert torch.equal(
            average.module.fc1.linear.weight, wrapped.fc1.linear.weight
        )
        assert not torch.allclose(average(x), wrapped(x))

    def test_recommended_weight_decay(self, wrapped):
        keys = {
            key: dict(decay_mult=0.0)
            for key in ('.magnitude', '.alpha', '.beta')
        }
        wrapper = build_optim_wrapper(
            Classifier(wrapped),
            dict(
                optimizer=dict(type='AdamW', lr=0.1, weight_decay=0.2),
                paramwise_cfg=dict(custom_keys=keys),
            ),
        )
        decay = {
            id(p): group['weight_decay']
            for group in wrapper.param_groups
            for p in group['params']
        }
        for key, parameter in wrapped.fc1.named_parameters(recurse=False):
            expected = 0.2 if key.startswith('lora_') else 0.0
            assert decay[id(parameter)] == expected, key


class TestLoading:
    """mmengine loads with ``strict=False`` and only logs."""

    @pytest.fixture
    def model(self, wrapped):
        return Classifier(wrapped)

    def save(self, tmp_path, state):
        path = tmp_path / 'file.pth'
        torch.save(dict(state_dict=state), path)
        return str(path)

    def test_full_and_adapter_only_files(self, model, tmp_path):
        changed = {
            k: v if k.endswith('norm_rows') else v + 1
            for k, v in model.state_dict().items()
        }
        other = copy.deepcopy(model)
        load_checkpoint(other, self.save(tmp_path, changed))
        assert torch.equal(
            other.backbone.fc1.linear.weight,
            model.backbone.fc1.linear.weight + 1,
        )
        x = torch.randn(5, 6)
        restored = copy.deepcopy(other)
        restored.load_state_dict(changed)
        assert torch.equal(other.eval()(x), restored.eval()(x))
        only = {k: v * 3 for k, v in adapter_state_dict(model).items()}
        load_checkpoint(other, self.save(tmp_path, only))
        assert torch.equal(
            other.backbone.fc1.magnitude, model.backbone.fc1.magnitude * 3
        )
        assert torch.equal(other.head.weight, model.head.weight + 1)

    def test_missing_adapter_key(self, model, tmp_path):
        state = model.state_dict()
        del state['backbone.module.fc2.beta']
        with pytest.raises(
            RuntimeError, match=r'Missing adapter keys: backbone\.module\.fc2'
        ):
            load_checkpoint(model, self.save(tmp_path, state))

    def test_unexpected_adapter_key(self, model, tmp_path):
        state = model.state_dict()
        state['backbone.module.fc3.lora_A'] = torch.zeros(2, 2)
        with pytest.raises(
            RuntimeError,
            match=r'Unexpected adapter keys: backbone\.module\.fc3',
        ):
            load_checkpoint(model, self.save(tmp_path, state))

    def test_weights_of_the_plain_model(self, model, tmp_path):
        path = self.save(tmp_path, Classifier(Backbone()).state_dict())
        with pytest.raises(RuntimeError, match='Missing adapter keys'):
            load_checkpoint(model, path)
        top = WoRAModel(Backbone(), targets=TARGETS)
        path = self.save(tmp_path, Backbone().state_dict())
        with pytest.raises(RuntimeError, match='before injection'):
            load_checkpoint(top.module, path)


def test_recomputation_is_switched_on_by_the_model_too():
    encoder = tiny_encoder_cfg(vocab_size=100, context_length=8)
    cfg = dict(
        type='mmtpr.WoRAModel',
        module=encoder,
        rank=2,
        targets=[dict(type=r'clip\.visual\..*\.mlp\.c_fc')],
        grad_checkpointing=True,
    )
    model = MODELS.build(cfg)
    assert model.module.clip.visual.transformer.grad_checkpointing
    with pytest.raises(ValueError, match='Backbone has no set_grad_check'):
        WoRAModel(Backbone(), targets=TARGETS, grad_checkpointing=True)


def test_finished_models_of_others_keep_their_weights():
    """Their init_weights, where they have one, makes random weights."""

    class Foreign(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def init_weights(self):
            nn.init.zeros_(self.fc.weight)

    foreign = Foreign()
    before = foreign.fc.weight.clone()
    model = AdapterModel(foreign, dict(type='DoRA'), [dict(type='fc')])
    assert torch.equal(model.module.fc.linear.weight, before)
