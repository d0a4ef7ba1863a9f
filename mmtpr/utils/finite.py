"""Refuse weights that are NaN or infinite."""

from collections.abc import Iterable

from torch import Tensor


def refuse_not_finite(
    tensors: Iterable[tuple[str, Tensor]], source: str
) -> None:
    """Stop at tensors that hold NaN or infinite numbers.

    Such weights compare with nothing, so that a check by a threshold would
    let them through.

    Args:
        tensors (Iterable[tuple[str, Tensor]]): Names and tensors of floats;
            those on the meta device hold no numbers.
        source (str): Where they are from, for the message.

    Raises:
        ValueError: If there are some.
    """
    bad = [
        name
        for name, tensor in tensors
        if not (tensor.is_meta or tensor.isfinite().all())
    ]
    if bad:
        more = f' and {len(bad) - 1} more' if len(bad) > 1 else ''
        raise ValueError(
            f'{bad[0]}{more}: NaN or infinite numbers. {source} is damaged, '
            'or its training diverged.'
        )
