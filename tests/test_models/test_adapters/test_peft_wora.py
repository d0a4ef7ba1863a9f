"""WoRA in the layout of peft's pull request."""

import pytest
import torch
from peft_cases import images, plain, write
from torch import nn

from mmtpr.models.adapters import (
    WoRALinear,
    inject_adapters,
    load_peft_adapter,
    peft_adapter,
    read_peft_adapter,
)
from mmtpr.models.adapters.dora import DoRALinear


class TestWoRAOfThePullRequest:
    def state(self, width=8, out=12, r=3):
        torch.manual_seed(2)
        name = 'base_model.model.fc.0.'
        return {
            f'{name}lora_A.weight': torch.randn(r, width),
            f'{name}lora_B.weight': 0.3 * torch.randn(out, r),
            f'{name}lora_magnitude_vector.weight': torch.rand(out) + 0.5,
            f'{name}lora_wora_alpha': torch.tensor(0.8),
            f'{name}lora_wora_beta': torch.tensor(1.3),
        }

    def config(self):
        return dict(
            peft_type='LORA',
            r=3,
            lora_alpha=6,
            use_wora=True,
            target_modules=['fc.0'],
        )

    def reference(self, state, linear, x):
        """W = m (beta W0 + alpha s B A) / |.|, norms detached, a row."""
        a, b, m, alpha, beta = state
        v = beta * linear.weight + alpha * (6 / 3) * b @ a
        weight = (m / v.norm(dim=1).detach())[:, None] * v
        return nn.functional.linear(x, weight, linear.bias)

    def test_formula_gradients_and_round_trip(self, tmp_path):
        state = self.state()
        folder = write(tmp_path / 'a', self.config(), state)
        model = plain()
        read = read_peft_adapter(model, folder)
        assert read.adapter == dict(
            type='WoRA', norm_dim='out', detach_norm=True
        )
        assert load_peft_adapter(model, folder) == ['fc.0']
        layer, frozen = model.fc[0], plain().fc[0].requires_grad_(False)
        assert isinstance(layer, WoRALinear)
        x = torch.randn(5, 8)
        parts = [t.clone().requires_grad_() for t in state.values()]
        wanted = self.reference(parts, frozen, x)
        y = layer(x)
        torch.testing.assert_close(y, wanted, atol=1e-5, rtol=1e-5)
        grad = torch.randn_like(y)
        y.backward(grad)
        theirs = torch.autograd.grad(wanted, parts, grad)
        ours = [layer.lora_A, layer.lora_B, layer.magnitude]
        for own, their in zip(ours, theirs[:3], strict=True):
            torch.testing.assert_close(own.grad, their, atol=1e-4, rtol=1e-4)
        # Ours is their alpha times lora_alpha / r, 2 here.
        torch.testing.assert_close(
            2 * layer.alpha.grad[0], theirs[3], atol=1e-4, rtol=1e-4
        )
        torch.testing.assert_close(
            layer.beta.grad[0], theirs[4], atol=1e-4, rtol=1e-4
        )

        config, out = peft_adapter(model, wora=True)
        assert set(out) == set(state)
        assert config['use_wora']
        assert not config['use_dora']
        assert config['lora_alpha'] == config['r'] == 3
        for key, value in state.items():
            value = 2 * value if key.endswith('wora_alpha') else value
            torch.testing.assert_close(out[key].reshape(value.shape), value)
        again = plain()
        back = write(tmp_path / 'b', config, out)
        load_peft_adapter(again, back)
        assert torch.equal(again.fc[0](x), layer(x))
        # Training goes on alike.
        for one in (model, again):
            one.zero_grad()
            trained = [p for p in one.parameters() if p.requires_grad]
            optimizer = torch.optim.SGD(trained, 0.05)
            one.fc[0](x).square().sum().backward()
            optimizer.step()
        assert torch.equal(again.fc[0](x), layer(x))

    @pytest.mark.parametrize('layer', ['fc.0', 'stem'])
    @pytest.mark.parametrize('beta', [-0.6, 1.3])
    def test_folded_with_a_beta_of_either_sign(self, tmp_path, layer, beta):
        model = plain()
        options = dict(type='WoRA', rank=2, norm_dim='out')
        inject_adapters(model, options, [dict(type=layer)])
        adapter = model.get_submodule(layer)
        with torch.no_grad():
            adapter.lora_B.normal_()
            adapter.beta.fill_(beta)
        other = plain()
        load_peft_adapter(other, write(tmp_path / 'a', *peft_adapter(model)))
        x = images()
        with torch.no_grad():
            torch.testing.assert_close(other(x), model(x))

    @pytest.mark.parametrize('beta', [0.0, 1e-30])
    def test_a_beta_next_to_zero_is_not_folded(self, tmp_path, beta):
        folder = write(tmp_path / 'a', self.config(), self.state())
        model = plain()
        load_peft_adapter(model, folder)
        with torch.no_grad():
            model.fc[0].beta.fill_(beta)
        with pytest.raises(ValueError, match=r'beta of "fc\.0" is .* next to'):
            peft_adapter(model)
        config, state = peft_adapter(model, wora=True)
        other = plain()
        load_peft_adapter(other, write(tmp_path / 'b', config, state))
        x = torch.randn(5, 8)
        torch.testing.assert_close(other.fc[0](x), model.fc[0](x))

    def test_without_it_the_same_is_a_dora(self, tmp_path):
        folder = write(tmp_path / 'a', self.config(), self.state())
        model = plain()
        load_peft_adapter(model, folder)
        config, state = peft_adapter(model)
        other = plain()
        load_peft_adapter(other, write(tmp_path / 'b', config, state))
        assert type(other.fc[0]) is DoRALinear
        x = torch.randn(5, 8)
        torch.testing.assert_close(other.fc[0](x), model.fc[0](x))

    def test_others_have_no_such_layout(self):
        model = plain()
        inject_adapters(model, dict(type='LoRA'), [dict(type='fc.0')])
        with pytest.raises(ValueError, match='is for WoRALinear'):
            peft_adapter(model, wora=True)
