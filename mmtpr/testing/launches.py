"""Counting the kernels that a piece of code starts."""

from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

#: Operations that give memory or another view of it, and start no kernel.
FREE = frozenset(
    (
        *('_unsafe_view', 'alias', 'as_strided', 'detach', 'diagonal'),
        *('expand', 'permute', 'select', 'slice', 'split', 'squeeze'),
        *('split_with_sizes', 't', 'transpose', 'unbind', 'unfold'),
        *('unsqueeze', 'view', 'empty', 'empty_like', 'empty_strided'),
        *('new_empty', 'new_empty_strided', 'lift_fresh'),
    )
)


class LaunchCounter(TorchDispatchMode):
    """Counts the operations that would start a kernel on an accelerator.

    On the CPU too, so that what a model asks of the host can be tested on any
    machine. A fused operation, such as a product that adds a bias, is one.

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
        if name not in FREE:
            self.launches[name] = self.launches.get(name, 0) + 1
        return func(*args, **(kwargs or {}))
