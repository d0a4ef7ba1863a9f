"""Training through ``torch.compile``."""

from collections.abc import Callable
from dataclasses import is_dataclass
from functools import wraps
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from mmtpr.registry import HOOKS
from mmtpr.utils.unwrap import unwrap


@HOOKS.register_module()
class CompileHook(Hook):
    """Compile how a model computes its losses, as long as it trains.

    Of mmtpr's retrievers this is ``compute_losses``, one graph without
    breaks for any batch of two or more; checks of values and what the host
    draws come before it. With ``accumulate`` above 1 a part is encoded by a
    graph, and losses are computed by another or two. Of any other model it is
    ``forward`` in the mode ``'loss'``. The optimizer, validation and
    checkpoints are as without.

    mmengine's ``compile`` key compiles the whole ``train_step`` in its place,
    which fails in the optimizer as soon as ``paramwise_cfg`` makes groups of
    parameters. ``tools/train.py`` turns that key into this hook. End of life:
    an mmengine that compiles no optimizer.

    Args:
        dynamic (bool, optional): Whether one graph serves batches of all
            sizes; None lets torch find out, False makes a graph for each.
            Defaults to True.
        **options: Other arguments of :func:`torch.compile`: ``backend``,
            ``mode``, ``fullgraph``, ``options``.

    Example:
        >>> custom_hooks = [dict(type='mmtpr.CompileHook')]
    """

    # Before all that trains, after all that changes the model.
    priority = 'LOWEST'

    def __init__(self, dynamic: bool | None = True, **options: Any) -> None:
        self._options, self._dynamic = options, dynamic
        torch.compile(len, disable=True, **self._options)  # minds mistakes
        self._compiled: tuple[nn.Module, tuple[str, ...]] | None = None

    def before_train(self, runner: Runner) -> None:
        """Put the compiled function in the place of the model's.

        Args:
            runner (Runner): The runner.
        """
        model, names = find_losses(unwrap(runner.model))
        for name in names:
            function = getattr(model, name)
            compiled = self._compile(function)
            if name == 'forward':
                compiled = _only_losses(function, compiled)
            setattr(model, name, compiled)
        self._compiled = model, names
        runner.logger.info(
            f'{" and ".join(names)} of {type(model).__name__} are compiled '
            'in the first iterations, which take seconds to minutes.'
        )

    def _compile(self, function: Callable) -> Callable:
        if self._dynamic:
            return compile_batches(function, self._options)
        options = dict(self._options, dynamic=self._dynamic)
        return torch.compile(function, **options)

    def after_train(self, runner: Runner) -> None:
        """Give the model its own function back.

        Args:
            runner (Runner): Not used.
        """
        if self._compiled is not None:
            model, names = self._compiled
            for name in names:
                delattr(model, name)  # of the instance; the class has its own
            self._compiled = None


def find_losses(model: nn.Module) -> tuple[nn.Module, tuple[str, ...]]:
    """Find what computes the losses of a model on the device alone.

    Args:
        model (nn.Module): Without what wraps it.

    Returns:
        tuple[nn.Module, tuple[str, ...]]: A retriever, maybe inside a model
        with adapters, and ``'compute_losses'``, or what encodes a part of a
        batch and what compares features where it accumulates; else the model
        and ``'forward'``.
    """
    for part in model.modules():
        if callable(getattr(type(part), 'compute_losses', None)):
            # Random states of Python and NumPy are put back between parts,
            # which is nothing for a graph.
            in_parts = getattr(part, 'accumulate', 1) > 1
            names = ('_views', '_losses') if in_parts else ('compute_losses',)
            return part, names
    return model, ('forward',)


def compile_batches(function: Callable, options: dict) -> Callable:
    """Compile a function of tensors whose first dimension may vary.

    torch's own ``dynamic=True`` takes height and width for variable too, and
    then thinks for minutes about the windows of a Swin transformer.

    Args:
        function (Callable): Takes tensors, or dicts and dataclasses of them.
        options (dict): Arguments of :func:`torch.compile`.

    Returns:
        Callable: The compiled function.
    """
    compiled = torch.compile(function, **options)

    @wraps(function)
    def marked(*args: Any, **kwargs: Any) -> Any:
        given = [vars(x) if is_dataclass(x) else x for x in args]
        for value in tree_leaves((given, kwargs)):
            if isinstance(value, Tensor) and value.dim():
                torch._dynamo.maybe_mark_dynamic(value, 0)
        return compiled(*args, **kwargs)

    return marked


def _only_losses(forward: Callable, compiled: Callable) -> Callable:
    """Compile one mode of ``forward``, and leave the others alone."""

    @wraps(forward)
    def chosen(*args: Any, **kwargs: Any) -> Any:
        mode = args[2] if len(args) > 2 else kwargs.get('mode')
        return (compiled if mode == 'loss' else forward)(*args, **kwargs)

    return chosen
