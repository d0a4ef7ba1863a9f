"""The pretended device as that of mmengine's runners."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import torch


@contextmanager
def mmengine_uses(name: str) -> Iterator[None]:
    """Let mmengine take a device for that of the machine.

    Args:
        name (str): The device.
    """
    import mmengine.device
    import mmengine.optim.optimizer.amp_optimizer_wrapper as amp
    import mmengine.runner

    def get_device() -> str:
        return name

    def autocast(device_type=None, enabled=True, dtype=None, **options: Any):
        dtype = dtype or torch.bfloat16
        return torch.autocast(name, dtype, enabled, **options)

    scaler = partial(torch.amp.GradScaler, name)
    with ExitStack() as stack:
        for old, new in (
            (mmengine.device.get_device, get_device),
            (mmengine.runner.autocast, autocast),
        ):
            for module, key in _places(old):
                stack.enter_context(patch.object(module, key, new))
        stack.enter_context(
            patch.object(amp, 'is_cuda_available', lambda: True)
        )
        stack.enter_context(patch.object(amp, 'GradScaler', scaler))
        yield


def _places(function: Any) -> Iterator[tuple[Any, str]]:
    """Find every module that holds a function under its name."""
    key = function.__name__
    for module in list(sys.modules.values()):
        if getattr(module, '__dict__', {}).get(key) is function:
            yield module, key
