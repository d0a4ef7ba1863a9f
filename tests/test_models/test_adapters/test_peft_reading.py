"""Adapters of peft itself, read, trained on and written again."""

import copy
import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from mmtpr.models.adapters import (
    WoRALinear,
    inject_adapters,
    load_peft_adapter,
    named_adapters,
    peft_adapter,
    read_peft_adapter,
)
from mmtpr.models.adapters.dora import DoRALinear


class Net(nn.Module):
    """A convolution, one with groups, two linear layers, an attention."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.attn = nn.MultiheadAttention(8, 2, batch_first=True)
        self.fc = nn.Sequential(nn.Linear(8, 12), nn.GELU(), nn.Linear(12, 8))

    def forward(self, x):
        x = self.grouped(self.stem(x).relu()).flatten(2).mT
        x = x + self.attn(x, x, x, need_weights=False)[0]
        return self.fc(x).mean(1)


def plain():
    torch.manual_seed(0)
    return Net().eval()


def images():
    return torch.randn(2, 3, 8, 8, generator=torch.manual_seed(1))


def peft_folder(folder, config_name='LoraConfig', **options):
    """A folder as peft saves it, and peft's model."""
    peft = pytest.importorskip('peft', reason='asks peft itself')
    config = getattr(peft, config_name)(**options)
    torch.manual_seed(5)
    model = peft.get_peft_model(plain(), config).eval()
    for name, parameter in model.named_parameters():
        if any(x in name for x in ('lora_', 'oft_R')):
            with torch.no_grad():
                parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return model


def files_of(folder):
    config = json.loads((folder / 'adapter_config.json').read_text())
    return config, load_file(folder / 'adapter_model.safetensors')


def write(folder, config, state):
    folder.mkdir()
    save_file(state, folder / 'adapter_model.safetensors')
    (folder / 'adapter_config.json').write_text(json.dumps(config))
    return folder


def check_both_ways(tmp_path, theirs, **export):
    """Ours equals theirs; written again, keys and outputs are theirs."""
    peft = pytest.importorskip('peft', reason='asks peft itself')
    folder = tmp_path / 'theirs'
    ours = plain()
    twice = export.get('out_proj_twice')
    names = load_peft_adapter(ours, folder, out_proj_twice=twice)
    x = images()
    with torch.no_grad():
        wanted, before = theirs(x), plain()(x)
        torch.testing.assert_close(ours(x), wanted, atol=1e-5, rtol=1e-5)
        assert (wanted - before).abs().max() > 1e-3
    config, state = peft_adapter(ours, **export)
    their_config, their_state = files_of(folder)
    assert set(state) == set(their_state)
    for key in ('peft_type', 'use_dora', 'use_rslora', 'oft_block_size'):
        assert config.get(key) == their_config.get(key), key
    written = write(tmp_path / 'ours', config, state)
    again = peft.PeftModel.from_pretrained(plain(), str(written)).eval()
    with torch.no_grad():
        torch.testing.assert_close(again(x), wanted, atol=1e-5, rtol=1e-5)
    return names, state, their_state


LAYERS = ['stem', 'fc.0', 'fc.2']


@pytest.mark.parametrize(
    'options',
    [
        dict(r=4, lora_alpha=6),
        dict(r=4, lora_alpha=6, use_rslora=True),
        dict(r=4, lora_alpha=6, use_dora=True),
        dict(r=4, lora_alpha=6, use_dora=True, use_rslora=True),
        dict(
            r=4,
            lora_alpha=6,
            rank_pattern={'fc.0': 2},
            alpha_pattern={'fc.0': 3, 'stem': 1},
            lora_dropout=0.1,
        ),
    ],
    ids=['LoRA', 'rslora', 'DoRA', 'DoRA-rslora', 'patterns'],
)
def test_low_rank_both_ways(tmp_path, options):
    theirs = peft_folder(tmp_path / 'theirs', target_modules=LAYERS, **options)
    names, state, their_state = check_both_ways(tmp_path, theirs)
    assert names == LAYERS
    for key, value in their_state.items():
        torch.testing.assert_close(state[key], value)


@pytest.mark.parametrize('neumann', [True, False])
@pytest.mark.parametrize('shared', [True, False])
def test_oft_both_ways(tmp_path, neumann, shared):
    theirs = peft_folder(
        tmp_path / 'theirs',
        'OFTConfig',
        target_modules=['fc.0', 'fc.2'],
        oft_block_size=4,
        use_cayley_neumann=neumann,
        block_share=shared,
    )
    names, state, their_state = check_both_ways(tmp_path, theirs)
    assert names == ['fc.0', 'fc.2']
    for key, value in their_state.items():
        torch.testing.assert_close(state[key], value)


def test_attention_both_ways(tmp_path):
    theirs = peft_folder(
        tmp_path / 'theirs', target_modules=['attn', 'fc.0'], r=2
    )
    with pytest.raises(ValueError, match=r'peft#3774.*--out-proj twice'):
        read_peft_adapter(plain(), tmp_path / 'theirs')
    from test_peft_layout import peft_applies_out_proj_twice

    twice = peft_applies_out_proj_twice()
    names, *_ = check_both_ways(tmp_path, theirs, out_proj_twice=twice)
    assert names == [
        *(f'attn.{p}' for p in ('q', 'k', 'v', 'out_proj')),
        'fc.0',
    ]


@pytest.mark.parametrize('rslora', [False, True])
def test_pissa(tmp_path, rslora):
    """Peft's file lacks the start: it is computed from the base again."""
    theirs = peft_folder(
        tmp_path / 'theirs',
        target_modules=['fc.0', 'fc.2'],
        init_lora_weights='pissa',
        r=3,
        lora_alpha=5,
        use_rslora=rslora,
    )
    ours = plain()
    read = read_peft_adapter(ours, tmp_path / 'theirs')
    assert read.adapter['init'] == 'pissa'
    load_peft_adapter(ours, tmp_path / 'theirs')
    x = images()
    with torch.no_grad():
        wanted = theirs(x)
        torch.testing.assert_close(ours(x), wanted, atol=1e-5, rtol=1e-4)
    # Back it goes as a plain LoRA of twice the rank, as peft converts it.
    config, state = peft_adapter(ours)
    assert config['r'] == 6
    assert config['use_rslora'] == rslora
    peft = pytest.importorskip('peft')
    written = write(tmp_path / 'ours', config, state)
    again = peft.PeftModel.from_pretrained(plain(), str(written)).eval()
    with torch.no_grad():
        torch.testing.assert_close(again(x), wanted, atol=1e-5, rtol=1e-4)


def test_grouped_convolutions_go_out_and_come_back(tmp_path):
    peft = pytest.importorskip('peft', reason='asks peft itself')
    ours = plain()
    inject_adapters(ours, dict(type='LoRA', rank=4), [dict(type='grouped')])
    nn.init.normal_(ours.grouped.lora_B, std=0.3)
    folder = write(tmp_path / 'ours', *peft_adapter(ours))
    theirs = peft.PeftModel.from_pretrained(plain(), str(folder)).eval()
    back = plain()
    load_peft_adapter(back, folder)
    x = images()
    with torch.no_grad():
        torch.testing.assert_close(theirs(x), ours(x), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(back(x), ours(x), atol=0, rtol=0)
    # Where peft looks at all groups, no grouped kernel does the same.
    peft_folder(tmp_path / 'dense', target_modules=['grouped'], r=4)
    with pytest.raises(ValueError, match='looks at all inputs'):
        load_peft_adapter(plain(), tmp_path / 'dense')


@pytest.mark.parametrize('kind', ['LoRA', 'DoRA'])
def test_parts_of_a_fused_qkv_in_peft(tmp_path, kind):
    peft = pytest.importorskip('peft', reason='asks peft itself')
    from stock_backbones import images_for, timm_vit

    torch.manual_seed(0)
    base = timm_vit().eval()
    ours = copy.deepcopy(base)
    options = dict(norm_dim='out') if kind == 'DoRA' else {}
    inject_adapters(
        ours,
        dict(type=kind, rank=2, alpha=3.0, **options),
        [dict(type=r'.*qkv\.q'), dict(type=r'.*qkv\.v', rank=3)],
    )
    for _, layer in named_adapters(ours):
        nn.init.normal_(layer.lora_B, std=0.3)
        if kind == 'DoRA':
            nn.init.uniform_(layer.magnitude, 0.5, 1.0)
    folder = write(tmp_path / 'a', *peft_adapter(ours))
    x = images_for('timm ViT')
    theirs = peft.PeftModel.from_pretrained(
        copy.deepcopy(base), str(folder)
    ).eval()
    back = copy.deepcopy(base)
    names = load_peft_adapter(back, folder)
    assert names == ['blocks.0.attn.qkv', 'blocks.1.attn.qkv']
    with torch.no_grad():
        wanted = ours.eval()(x)
        assert (wanted - base(x)).abs().max() > 1e-3
        torch.testing.assert_close(theirs(x), wanted, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(back(x), wanted, atol=1e-5, rtol=1e-4)


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


class TestRefusals:
    def base(self, **options):
        return dict(peft_type='LORA', r=2, target_modules=['fc.0'], **options)

    def state(self, **more):
        name = 'base_model.model.fc.0.'
        return {
            f'{name}lora_A.weight': torch.randn(2, 8),
            f'{name}lora_B.weight': torch.randn(12, 2),
            **more,
        }

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            (dict(peft_type='IA3'), "of the method 'IA3'; mmtpr has its LORA"),
            (dict(peft_type=None), 'of the method None'),
            (dict(bias='lora_only'), "bias='lora_only' trains biases"),
            (dict(modules_to_save=['fc.2']), r'whole modules \(fc\.2\)'),
            (dict(use_qalora=True), 'use_qalora=True'),
            (dict(lora_bias=True), 'lora_bias=True'),
            (dict(layer_replication=[[0, 2]]), 'layer_replication='),
            (dict(some_new_option=3), 'some_new_option=3'),
            (
                dict(init_lora_weights='olora'),
                "init_lora_weights='olora' chan",
            ),
            (
                dict(init_lora_weights='pissa_niter_4'),
                'path_initial_model_for_weight_conversion',
            ),
            (
                dict(init_lora_weights='pissa', use_dora=True),
                "'pissa' with magnitudes",
            ),
            (dict(r=3), 'says rank 3 of "fc.0", its tensors have 2'),
            (dict(use_dora=True), 'has no lora_magnitude_vector'),
        ],
    )
    def test_of_the_config(self, tmp_path, options, message):
        config = {**self.base(), **options}
        folder = write(tmp_path / 'a', config, self.state())
        model = plain()
        with pytest.raises(ValueError, match=message):
            load_peft_adapter(model, folder)
        assert type(model.fc[0]) is nn.Linear

    def test_layers_to_transform_is_what_the_file_holds(self, tmp_path):
        config = self.base(layers_to_transform=[0], layers_pattern='fc')
        folder = write(tmp_path / 'a', config, self.state())
        assert load_peft_adapter(plain(), folder) == ['fc.0']

    def test_of_the_tensors(self, tmp_path):
        name = 'base_model.model.'
        bad = {f'{name}words.lora_embedding_A': torch.zeros(2, 4)}
        folder = write(tmp_path / 'a', self.base(), self.state(**bad))
        with pytest.raises(ValueError, match='lora_embedding_A", which cann'):
            load_peft_adapter(plain(), folder)
        bad = {
            f'{name}fc.9.lora_A.weight': torch.zeros(2, 4),
            f'{name}fc.9.lora_B.weight': torch.zeros(4, 2),
        }
        folder = write(tmp_path / 'b', self.base(), self.state(**bad))
        with pytest.raises(ValueError, match=r'has not.*: fc\.9\. Is the'):
            load_peft_adapter(plain(), folder)

    def test_of_the_folder(self, tmp_path):
        with pytest.raises(FileNotFoundError, match='no folder of peft'):
            load_peft_adapter(plain(), tmp_path)
        (tmp_path / 'adapter_config.json').write_text('{')
        with pytest.raises(ValueError, match='is damaged'):
            load_peft_adapter(plain(), tmp_path)
        config = json.dumps(self.base())
        (tmp_path / 'adapter_config.json').write_text(config)
        with pytest.raises(FileNotFoundError, match='has neither'):
            load_peft_adapter(plain(), tmp_path)
        (tmp_path / 'adapter_model.safetensors').write_text('nothing')
        with pytest.raises(ValueError, match='damaged'):
            load_peft_adapter(plain(), tmp_path)

    def test_what_peft_has_not(self):
        model = nn.Sequential(
            nn.Conv2d(4, 4, 3, dilation=2),
            nn.Conv2d(4, 4, 3, padding=1, padding_mode='reflect'),
            nn.Conv2d(4, 4, 3, groups=2),
        )
        for name, kind, message in (
            ('0', 'LoRA', 'is dilated'),
            ('1', 'LoRA', 'pads by reflect'),
            ('2', 'DoRA', 'has 2 groups'),
        ):
            one = copy.deepcopy(model)
            options = dict(norm_dim='out') if kind == 'DoRA' else {}
            inject_adapters(
                one, dict(type=kind, rank=2, **options), [dict(type=name)]
            )
            with pytest.raises(ValueError, match=message):
                peft_adapter(one)
