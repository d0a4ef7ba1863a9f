"""The matrix product of ranking, by either library."""

import pytest
import torch

from mmtpr.evaluation import product as module
from mmtpr.evaluation.product import product


@pytest.fixture(params=['DEFAULT', 'own'])
def library(request, monkeypatch):
    """With torch's mm alone, and with what this machine has."""
    module._has_onednn.cache_clear()
    if request.param == 'DEFAULT':
        monkeypatch.setattr(
            torch.backends.cpu, 'get_cpu_capability', lambda: 'DEFAULT'
        )
    yield request.param
    module._has_onednn.cache_clear()


@pytest.mark.parametrize('shape', [(2048, 256, 256), (7, 256, 5), (1, 3, 1)])
def test_products_are_those_of_float64(library, shape):
    torch.manual_seed(0)
    rows, dim, columns = shape
    left = torch.nn.functional.normalize(torch.randn(rows, dim), dim=1)
    right = torch.nn.functional.normalize(torch.randn(columns, dim), dim=1)
    got = product(left, right)
    assert got.dtype == torch.float32
    wanted = left.double() @ right.double().t()
    torch.testing.assert_close(got.double(), wanted, atol=5e-7, rtol=0)
    # bfloat16 in between would be off by thousands of this.
    doubles = product(left.double(), right.double())
    torch.testing.assert_close(doubles, wanted, atol=1e-15, rtol=1e-12)


def test_the_place_of_a_row_changes_nothing(library):
    torch.manual_seed(0)
    left, right = torch.randn(2048, 64), torch.randn(256, 64)
    got = product(left, right)
    for _ in range(3):
        rows, columns = torch.randperm(2048), torch.randperm(256)
        again = product(left[rows], right[columns])
        assert torch.equal(again, got[rows][:, columns])


def test_a_torch_without_the_operator_takes_its_mm(monkeypatch):
    class Gone:
        def __getattr__(self, name):
            raise AttributeError(name)

    module._has_onednn.cache_clear()
    monkeypatch.setattr(
        torch.backends.cpu, 'get_cpu_capability', lambda: 'AVX512'
    )
    monkeypatch.setattr(torch.ops, 'mkldnn', Gone())
    try:
        assert not module._has_onednn()
        assert product(torch.eye(2), torch.ones(3, 2)).sum() == 6
    finally:
        module._has_onednn.cache_clear()
