"""Adapters inside nn.MultiheadAttention."""

import copy

import pytest
import torch
from fused_calls import fused_calls
from torch import nn

from mmtpr.models.adapters import (
    AdaptedMultiheadAttention,
    LoRALinear,
    WoRALinear,
    inject_adapters,
    merge_adapters,
)

PROJECTIONS = ('q', 'k', 'v', 'out_proj')


def attention(**options):
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(16, 4, **options)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.3)
    return layer


class Block(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.attn = attention(**options)

    def forward(self, *args, **kwargs):
        return self.attn(*args, **kwargs)


def inputs(batch_first=True, kdim=16, vdim=16, unbatched=False):
    torch.manual_seed(1)
    q, k, v = (
        torch.randn(3, n, d) for n, d in ((5, 16), (7, kdim), (7, vdim))
    )
    if unbatched:
        return q[0], k[0], v[0]
    if not batch_first:
        return tuple(t.transpose(0, 1) for t in (q, k, v))
    return q, k, v


MASK = torch.rand(5, 7, generator=torch.manual_seed(2)) > 0.7
MASK[:, 0] = False
HEAD_MASK = MASK.repeat(12, 1, 1)
PADDING = torch.tensor([[False] * 7, [False] * 4 + [True] * 3, [False] * 7])


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize(
    ('build', 'call', 'given'),
    [
        pytest.param({}, {}, {}, id='defaults'),
        pytest.param({}, dict(need_weights=False), {}, id='fused'),
        pytest.param(dict(bias=False), {}, {}, id='no-bias'),
        pytest.param({}, dict(attn_mask=MASK), {}, id='bool-mask'),
        pytest.param({}, dict(attn_mask=HEAD_MASK), {}, id='head-mask'),
        pytest.param(
            {},
            dict(attn_mask=MASK.float() * -4, need_weights=False),
            {},
            id='float-mask',
        ),
        pytest.param({}, dict(key_padding_mask=PADDING), {}, id='padding'),
        pytest.param(
            {},
            dict(key_padding_mask=PADDING, attn_mask=MASK, need_weights=False),
            {},
            id='both-masks',
        ),
        pytest.param(
            {}, dict(average_attn_weights=False), {}, id='head-weights'
        ),
        pytest.param(
            dict(kdim=6, vdim=10),
            dict(need_weights=False),
            dict(kdim=6, vdim=10),
            id='other-widths',
        ),
        pytest.param({}, {}, dict(unbatched=True), id='unbatched'),
        pytest.param(
            {}, dict(attn_mask=MASK), dict(unbatched=True), id='unbatched-mask'
        ),
    ],
)
@pytest.mark.parametrize('batch_first', [True, False])
def test_equals_the_fused_layer(build, call, given, batch_first, training):
    plain = attention(batch_first=batch_first, **build).train(training)
    ours = AdaptedMultiheadAttention(copy.deepcopy(plain))
    assert ours.training == training
    query, key, value = inputs(batch_first, **given)
    query.requires_grad_()
    expected, expected_weights = plain(query, key, value, **call)
    found, weights = ours(query, key, value, **call)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    if expected_weights is None:
        assert weights is None
    else:
        torch.testing.assert_close(
            weights, expected_weights, atol=1e-6, rtol=0
        )
    a, b = (
        torch.autograd.grad(y.sin().sum(), query)[0] for y in (found, expected)
    )
    torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


@pytest.mark.parametrize('training', [True, False])
def test_self_attention_and_causal_hint(training):
    plain = attention(batch_first=True).train(training)
    ours = AdaptedMultiheadAttention(copy.deepcopy(plain))
    x = torch.randn(2, 6, 16)
    mask = nn.Transformer.generate_square_subsequent_mask(6)
    with torch.no_grad():  # the fast path of the fused layer
        for call in (
            dict(need_weights=False),
            dict(attn_mask=mask, is_causal=True, need_weights=False),
        ):
            torch.testing.assert_close(
                ours(x, x, x, **call)[0],
                plain(x, x, x, **call)[0],
                atol=1e-6,
                rtol=0,
            )
    with pytest.raises(RuntimeError, match='needs attn_mask'):
        ours(x, x, x, is_causal=True)


def test_dropout_acts_in_training_only():
    ours = AdaptedMultiheadAttention(attention(dropout=0.5, batch_first=True))
    x = torch.randn(2, 6, 16)
    for need_weights in (True, False):
        ours.train()
        torch.manual_seed(0)
        a = ours(x, x, x, need_weights=need_weights)[0]
        b = ours(x, x, x, need_weights=need_weights)[0]
        assert not torch.allclose(a, b)
        ours.eval()
        a = ours(x, x, x, need_weights=need_weights)[0]
        b = ours(x, x, x, need_weights=need_weights)[0]
        assert torch.equal(a, b)


@pytest.mark.parametrize('name', PROJECTIONS)
def test_each_projection_is_reached_alone(name):
    block = Block(batch_first=True)
    before = copy.deepcopy(block)
    x = torch.randn(2, 5, 16)
    names = inject_adapters(
        block, dict(type='WoRA', rank=2), [dict(type=rf'attn\.{name}')]
    )
    assert names == [f'attn.{name}']
    torch.testing.assert_close(
        block(x, x, x)[0], before(x, x, x)[0], atol=1e-6, rtol=0
    )
    adapter = block.attn.get_submodule(name)
    assert isinstance(adapter, WoRALinear)
    others = [p for p in PROJECTIONS if p != name]
    for other in others:
        assert isinstance(block.attn.get_submodule(other), nn.Linear)
    nn.init.normal_(adapter.lora_B, std=0.3)
    y = block(x, x, x)[0]
    assert not torch.allclose(y, before(x, x, x)[0], atol=1e-3)
    y.square().sum().backward()
    assert adapter.lora_A.grad.abs().sum() > 0
    # The same change written into the fused weight.
    weight = adapter.merged_weight().detach()
    with torch.no_grad():
        if name == 'out_proj':
            before.attn.out_proj.weight.copy_(weight)
        else:
            row = 16 * PROJECTIONS.index(name)
            before.attn.in_proj_weight[row : row + 16] = weight
    torch.testing.assert_close(y, before(x, x, x)[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    'options', [{}, dict(bias=False), dict(kdim=6, vdim=10)]
)
def test_removal_gives_the_original_layer_back(options):
    block = Block(batch_first=True, **options)
    before = copy.deepcopy(block)
    inject_adapters(
        block, dict(type='LoRA', rank=2), [dict(type=r'attn\.(k|out_proj)')]
    )
    assert isinstance(block.attn.k, LoRALinear)
    merge_adapters(block, remove=True)
    assert type(block.attn) is nn.MultiheadAttention
    assert list(block.state_dict()) == list(before.state_dict())
    for key, tensor in before.state_dict().items():
        assert torch.equal(block.state_dict()[key], tensor), key
    query, key, value = inputs(
        kdim=options.get('kdim', 16), vdim=options.get('vdim', 16)
    )
    torch.testing.assert_close(
        block(query, key, value)[0], before(query, key, value)[0]
    )
    before.load_state_dict(block.state_dict())


def test_packed_weights_are_the_effective_ones():
    block = Block(batch_first=True)
    inject_adapters(block, dict(type='WoRA', rank=2), [dict(type=r'.*\.q')])
    nn.init.normal_(block.attn.q.lora_B)
    packed = block.attn.in_proj_weight
    torch.testing.assert_close(packed[:16], block.attn.q.merged_weight())
    assert torch.equal(packed[16:32], block.attn.k.weight)
    assert block.attn.in_proj_bias.shape == (48,)


@pytest.mark.parametrize('options', [dict(add_bias_kv=True)])
def test_unreachable_attention_is_refused(options):
    block = Block(**options)
    with pytest.raises(ValueError, match='add_bias_kv'):
        inject_adapters(block, dict(type='WoRA'), [dict(type=r'attn\.q')])


def test_bf16_autocast_with_float_mask():
    block = Block(batch_first=True)
    inject_adapters(block, dict(type='WoRA', rank=2), [dict(type=r'attn\..*')])
    x = torch.randn(2, 5, 16)
    mask = nn.Transformer.generate_square_subsequent_mask(5)
    expected = block(x, x, x, attn_mask=mask, need_weights=False)[0]
    with torch.autocast('cpu', torch.bfloat16):
        y = block(x, x, x, attn_mask=mask, need_weights=False)[0]
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), expected, atol=0.1, rtol=0.05)


@pytest.mark.parametrize('training', [True, False])
def test_torch_transformer_layer(training):
    """Its fast path reads the weights instead of calling the layers."""
    torch.manual_seed(0)
    model = nn.TransformerEncoderLayer(16, 4, 32, 0.0, batch_first=True)
    inject_adapters(
        model,
        dict(type='WoRA', rank=2),
        [dict(type=r'self_attn\.(q|out_proj)'), dict(type='linear1')],
    )
    for name, parameter in model.named_parameters():
        if name.endswith('lora_B'):
            nn.init.normal_(parameter, std=0.2)
    model.train(training)
    x = torch.randn(2, 5, 16)
    with torch.no_grad():
        y = model(x)
        merged = merge_adapters(copy.deepcopy(model), remove=True)(x)
    torch.testing.assert_close(y, merged, atol=1e-5, rtol=0)


def test_the_fused_kernel_is_used_where_nobody_wants_weights():
    block = Block(batch_first=True, dropout=0.3)
    inject_adapters(block, dict(type='WoRA', rank=2), [dict(type=r'attn\..*')])
    assert isinstance(block.attn, AdaptedMultiheadAttention)
    with fused_calls() as calls:
        block.train()(*inputs(), need_weights=False, attn_mask=MASK)
        block.eval()(*inputs(), need_weights=False)
        block(*inputs(), need_weights=True)
    assert calls == [((3, 4, 5, 4), 0.3), ((3, 4, 5, 4), 0.0)]
