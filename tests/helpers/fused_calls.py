"""Counts how often attention goes through torch's fused kernel."""

from contextlib import contextmanager
from unittest.mock import patch

from torch.nn import functional as F


@contextmanager
def fused_calls():
    """Record the calls of ``scaled_dot_product_attention``.

    Yields:
        list[tuple[tuple, float]]: Shape of the queries and the dropout of
        each call.
    """
    calls = []
    kernel = F.scaled_dot_product_attention

    def counted(query, *args, **kwargs):
        calls.append((tuple(query.shape), kwargs.get('dropout_p', 0.0)))
        return kernel(query, *args, **kwargs)

    with patch.object(F, 'scaled_dot_product_attention', counted):
        yield calls
