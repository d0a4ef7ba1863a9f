"""A pretended GPU: tensors of another device that compute on the CPU.

What goes wrong on a GPU can often be found without one. Tensors of this device
refuse others where a GPU would, count what the host has to wait for and how
many kernels it starts, and follow CUDA's lists of autocast. What kernels
compute, memory, streams and NCCL are beyond it.

Torch knows the device from the first :class:`PretendedGPU` on, for the rest of
the process: tests use a process of their own.

Examples:
    >>> from mmtpr.testing.pretended_gpu import NAME, PretendedGPU
    >>> with PretendedGPU() as gpu:  # doctest: +SKIP
    ...     model.to(NAME)
    ...     model.train_step(data, optim_wrapper)
    ...     print(gpu.waits())
"""

from .device import PretendedGPU, is_available
from .rules import NAME, DeviceMismatchError
from .tensor import PretendedTensor

__all__ = [
    'NAME',
    'DeviceMismatchError',
    'PretendedGPU',
    'PretendedTensor',
    'is_available',
]
