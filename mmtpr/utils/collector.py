"""Python's cycle collector."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def resting_collector() -> Iterator[None]:
    """Let the cycle collector rest while many objects are made.

    It would walk over all of them again and again, which doubles the time and
    more; what holds itself is freed afterwards.

    Yields:
        None: The collector rests inside; it goes on if it did before.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
