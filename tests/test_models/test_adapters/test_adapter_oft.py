"""OFT: orthogonal blocks in front of a frozen weight."""

import copy

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck

from mmtpr.models.adapters import (
    OFTLinear,
    adapter_state_dict,
    inject_adapters,
    load_adapter_state_dict,
    merge_adapters,
)

OPTIONS = [
    pytest.param({}, id='exact'),
    pytest.param(dict(neumann_terms=5), id='series'),
    pytest.param(dict(share_blocks=True), id='shared'),
]


def make(options, dtype=torch.float64, std=0.1):
    torch.manual_seed(3)
    linear = nn.Linear(12, 5, dtype=dtype)
    layer = OFTLinear(linear, block_size=4, **options)
    nn.init.normal_(layer.oft_R, std=std)
    return layer


def dense(layer):
    """The effective weight, block by block."""
    size = layer.block_size
    blocks = []
    for row in layer.oft_R.expand(layer.num_blocks, -1):
        q = row.new_zeros(size, size)
        place = torch.triu_indices(size, size, 1)
        q = q.index_put((place[0], place[1]), row)
        q = q - q.T
        eye = torch.eye(size, dtype=q.dtype)
        if layer.neumann_terms == 0:
            blocks.append((eye - q) @ torch.linalg.inv(eye + q))
        else:
            blocks.append(eye + 2 * (q + q @ q + q @ q @ q) + q @ q @ q @ q)
    return layer.linear.weight @ torch.block_diag(*blocks).T


@pytest.mark.parametrize('options', OPTIONS)
def test_equals_the_dense_weight(options):
    layer = make(options)
    x = torch.randn(2, 3, 12, dtype=torch.float64, requires_grad=True)
    expected = nn.functional.linear(x, dense(layer), layer.bias)
    y = layer(x)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(layer.merged_weight(), dense(layer))
    grad, inputs = torch.randn_like(y), [x, layer.oft_R]
    ours = torch.autograd.grad(y, inputs, grad)
    theirs = torch.autograd.grad(expected, inputs, grad)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)
    assert gradcheck(lambda x, _: layer(x), (x, layer.oft_R))


def test_blocks_are_orthogonal():
    rotation = make({}, std=3.0).rotation()
    eye = torch.eye(4, dtype=torch.float64).expand_as(rotation)
    torch.testing.assert_close(rotation @ rotation.mT, eye)
    near = make(dict(neumann_terms=7), std=0.02).rotation()
    torch.testing.assert_close(near @ near.mT, eye, atol=1e-5, rtol=0)
    # The series turns the other way, as in peft.
    other = make({}, std=0.02).rotation()
    torch.testing.assert_close(near, other.mT, atol=1e-5, rtol=0)


@pytest.mark.parametrize('options', OPTIONS)
def test_starts_pretrained_merges_and_unmerges(options):
    linear = nn.Linear(12, 5)
    x = torch.randn(4, 12)
    before = linear(x)
    layer = OFTLinear(linear, block_size=4, **options)
    torch.testing.assert_close(layer(x), before, atol=1e-6, rtol=0)
    assert [n for n, p in layer.named_parameters() if p.requires_grad] == [
        'oft_R'
    ]
    nn.init.normal_(layer.oft_R, std=0.2)
    after, frozen = layer(x), linear.weight.clone()
    layer.merge()
    torch.testing.assert_close(layer(x), after, atol=1e-6, rtol=1e-5)
    assert torch.equal(layer.state_dict()['linear.weight'], frozen)
    layer.unmerge()
    assert torch.equal(linear.weight, frozen)


def model_of(**options):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(8, 8), nn.MultiheadAttention(8, 2, batch_first=True)
    )
    plain = copy.deepcopy(model)
    names = inject_adapters(
        model,
        dict(type='OFT', block_size=4, **options),
        [dict(type='0|1.(q|out_proj)')],
    )
    assert names == ['0', '1.q', '1.out_proj']
    return plain, model


def test_in_a_model_with_files():
    plain, model = model_of(neumann_terms=5)
    x = torch.randn(2, 3, 8)

    def call(model):
        y = model[0](x)
        return model[1](y, y, y, need_weights=False)[0]

    torch.testing.assert_close(call(model), call(plain))
    for name, parameter in model.named_parameters():
        if name.endswith('oft_R'):
            nn.init.normal_(parameter, std=0.1)
    state = adapter_state_dict(model)
    assert {key.rpartition('.')[2] for key in state} == {
        *('oft_R', 'neumann_terms')
    }
    _, other = model_of(neumann_terms=5)
    load_adapter_state_dict(other, state)
    assert torch.equal(call(other), call(model))
    other.load_state_dict(model.state_dict())
    _, exact = model_of()
    for load in (load_adapter_state_dict, nn.Module.load_state_dict):
        with pytest.raises(
            RuntimeError,
            match='is 5 in the file and 0 in the model; set the option neum',
        ):
            load(
                exact,
                {**exact.state_dict(), **state}
                if load is nn.Module.load_state_dict
                else state,
            )
    after = call(model)
    bare = merge_adapters(model, remove=True)
    assert [*bare.state_dict()] == [*plain.state_dict()]
    torch.testing.assert_close(call(bare), after, atol=1e-6, rtol=1e-5)


def test_bfloat16():
    layer = make({}, torch.float32)
    x = torch.randn(3, 12)
    with torch.autocast('cpu', torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), layer(x), atol=0.05, rtol=0.05)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(block_size=5), '5 does not divide 12 inputs; 2, 3, 4, 6 would'),
        (dict(block_size=1), 'block_size must be an int >= 2, got 1'),
        (dict(block_size=4.0), r'block_size must be an int >= 2, got 4\.0'),
        (dict(block_size=4, neumann_terms=-1), 'neumann_terms must be an int'),
        (dict(block_size=4, neumann_terms=1), 'never rotates'),
        (dict(block_size=4, share_blocks='no'), 'share_blocks must be True'),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        OFTLinear(nn.Linear(12, 4), **options)
    model = nn.Sequential(nn.Linear(12, 4))
    with pytest.raises(ValueError, match=message):
        inject_adapters(model, dict(type='OFT', **options), [dict(type='0')])
    assert type(model[0]) is nn.Linear


def test_convolutions_are_refused():
    model = nn.Sequential(nn.Conv2d(4, 4, 1))
    with pytest.raises(ValueError, match='OFTLinear is not for convolutions'):
        inject_adapters(
            model, dict(type='OFT', block_size=2), [dict(type='0')]
        )
