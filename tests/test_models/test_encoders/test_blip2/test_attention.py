"""Attention of BLIP-2 by the fused kernel against that of transformers."""

import copy

import pytest
import torch
from fused_calls import fused_calls

from mmtpr.models.encoders.blip2 import attention as fused
from mmtpr.models.encoders.blip2.attention import qformer_mask
from mmtpr.models.encoders.blip2.build import blip2_config
from mmtpr.registry import MODELS
from mmtpr.testing import tiny_blip2_cfg

transformers = pytest.importorskip(
    'transformers', reason='BLIP-2 needs the extra [blip2] (transformers)'
)


@pytest.fixture(scope='module')
def pair():
    """transformers' model by single steps, and the same made to fuse."""
    torch.manual_seed(0)
    config = blip2_config(tiny_blip2_cfg()['model'], dropout=0.0)
    for part in (config, config.vision_config, config.qformer_config):
        part._attn_implementation = 'eager'
    theirs = transformers.Blip2ForImageTextRetrieval(config)
    torch.nn.init.normal_(theirs.query_tokens)
    ours = copy.deepcopy(theirs)
    fused.fuse_attention(ours)
    return theirs.train(), ours.train()


def outputs(model, form=lambda mask: mask):
    """Vision tokens and fused states, and some gradients of them."""
    torch.manual_seed(1)
    images, tokens = torch.randn(3, 3, 28, 28), torch.randint(5, 60, (3, 9))
    mask = torch.ones(3, 8 + 9, dtype=torch.long)
    mask[1, 12:] = 0
    vision = model.vision_model(pixel_values=images).last_hidden_state
    states = model.qformer(
        query_embeds=model.embeddings(
            input_ids=tokens, query_embeds=model.query_tokens.expand(3, -1, -1)
        ),
        query_length=8,
        attention_mask=form(mask),
        encoder_hidden_states=vision,
    ).last_hidden_state
    # Queries of padding have no defined answer.
    seen = states[mask.bool()]
    used = [p for n, p in model.named_parameters() if 'attention' in n]
    grads = torch.autograd.grad(seen.square().sum(), used, allow_unused=True)
    assert sum(grad is not None for grad in grads) > 20
    return [vision, seen, *(grad for grad in grads if grad is not None)]


def test_results_and_gradients_are_those_of_transformers(pair):
    theirs, ours = pair
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    with fused_calls() as calls:
        expected = outputs(theirs)
    assert not calls
    found = outputs(ours, lambda mask: qformer_mask(ours.qformer, mask))
    for value, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(value, wanted, atol=1e-5, rtol=1e-4)


def test_both_towers_go_through_the_kernel():
    encoder = MODELS.build(tiny_blip2_cfg(dropout=0.25, frozen=())).train()
    images, tokens = torch.randn(2, 3, 28, 28), torch.randint(5, 60, (2, 9))
    with fused_calls() as calls:
        encoder.encode_query(images, tokens)
    vit = [((2, 4, 5, 12), 0.0)] * 2
    # Layer 0 of the Q-Former also reads the image: 8 queries.
    whole, queries = ((2, 4, 17, 16), 0.25), ((2, 4, 8, 16), 0.25)
    assert calls == [*vit, whole, queries, whole]
    with fused_calls() as calls:
        encoder.eval().encode_text(tokens)
    assert calls == [((2, 4, 9, 16), 0.0)] * 2


def test_an_added_mask_hides_as_a_boolean_one_does(pair):
    """Older transformers hand over numbers, newer ones booleans."""
    layer = pair[1].qformer.encoder.layer[0].attention.attention
    hidden = torch.randn(2, 6, 64)
    seen = torch.rand(2, 1, 1, 6) > 0.4
    seen[..., 0] = True
    added = torch.where(seen, 0.0, -10000.0)
    found, _ = layer(hidden, attention_mask=added)
    expected, _ = layer(hidden, seen)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_nobody_looks_at_the_mask():
    """On a GPU the host would wait for the answer, once a step."""
    encoder = MODELS.build(tiny_blip2_cfg()).eval()
    tokens = torch.randint(5, 60, (2, 9))
    tokens[0, 5:] = 0

    class Reads(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            assert func is not torch.ops.aten._local_scalar_dense.default
            return func(*args, **(kwargs or {}))

    images = torch.randn(2, 3, 28, 28)
    with torch.no_grad(), Reads():
        encoder.encode_query(images, tokens)
        encoder.encode_text(tokens)
        encoder.encode_target(images)
    with pytest.raises(AssertionError), Reads():
        bool((tokens > 0).all())
