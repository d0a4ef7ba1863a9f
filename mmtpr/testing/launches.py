"""Counting the kernels that a piece of code starts."""

from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

from .pretended_gpu.rules import NO_KERNEL


class LaunchCounter(TorchDispatchMode):
    """Counts the operations that would start a kernel on an accelerator.

    On tensors of the CPU, in any process; a :class:`PretendedGPU` counts those
    of its own tensors. A fused operation, such as a product that adds a bias,
    is one.

    Attributes:
        launches (dict[str, int]): Number of calls by name of the operation.

    Examples:
        >>> x = torch.randn(4, 6)
        >>> with LaunchCounter() as counter:
        ...     y = x.t() * 2
        >>> counter.launches
        {'mul': 1}
    """

    def __init__(self) -> None:
        super().__init__()
        self.launches: dict[str, int] = {}

    @property
    def total(self) -> int:
        """Number of all calls."""
        return sum(self.launches.values())

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Count an operation and run it."""
        name = func._schema.name.rpartition('::')[2]
        if name not in NO_KERNEL:
            self.launches[name] = self.launches.get(name, 0) + 1
        return func(*args, **(kwargs or {}))
