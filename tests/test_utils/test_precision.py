"""Products of full precision, whatever a program has switched on."""

import torch

from mmtpr.evaluation.similarity import topk_similarity
from mmtpr.utils.precision import compute_dtype, exact_matmul


def test_rankings_ignore_autocast():
    """As of a loop with ``fp16=True`` that ranks inside it."""
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(3, 16, generator=generator)
    gallery = torch.randn(40, 2, 16, generator=generator)
    wanted = topk_similarity(query, gallery, 2)
    with torch.autocast('cpu', torch.bfloat16):
        assert (query @ query.t()).dtype == torch.bfloat16
        assert torch.equal(topk_similarity(query, gallery, 2), wanted)


def test_tf32_is_off_inside_and_back_outside():
    switch = torch.backends.cuda.matmul
    before = switch.allow_tf32
    try:
        switch.allow_tf32 = True
        with exact_matmul(torch.device('cpu')):
            precision = getattr(switch, 'fp32_precision', None)
            assert precision in ('ieee', None)
            if precision is None:
                assert not switch.allow_tf32
        assert switch.allow_tf32
    finally:
        switch.allow_tf32 = before


def test_type_of_linear_layers():
    x = torch.zeros(2)
    assert compute_dtype(x) == torch.float32
    assert compute_dtype(x.to('meta')) == torch.float32
    with torch.autocast('cpu', torch.bfloat16):
        assert compute_dtype(x) == torch.bfloat16
