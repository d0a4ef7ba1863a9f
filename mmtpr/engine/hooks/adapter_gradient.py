"""Check that training reaches every adapter."""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch.utils.hooks import RemovableHandle

from mmtpr.models.adapters.state import named_adapters
from mmtpr.models.name_patterns import compile_patterns
from mmtpr.registry import HOOKS
from mmtpr.utils.errors import LaunchError
from mmtpr.utils.sharded import is_sharded
from mmtpr.utils.unwrap import unwrap


@HOOKS.register_module()
class AdapterGradientHook(Hook):
    """Stop after the first iteration if adapters got no gradient.

    Such adapters would stay as they are without a word: those of a module
    that the model never runs (with several processes DDP stops there, for
    another reason), or those below activation checkpointing of the reentrant
    kind, which drops gradients where the input of a checkpointed module needs
    none, as above a frozen patch embedding.

    Args:
        allow (Sequence[str]): Regular expressions of whole names of adapted
            layers that may be without gradient. Defaults to ().
    """

    priority = 'VERY_LOW'

    def __init__(self, allow: Sequence[str] = ()) -> None:
        self._allow = compile_patterns(allow, 'allow')
        self._waiting: dict[str, RemovableHandle] | None = None

    def before_train(self, runner: Runner) -> None:
        """Listen for the gradients of the first iteration.

        Args:
            runner (Runner): The runner.
        """
        self._waiting = {}
        for name, layer in named_adapters(unwrap(runner.model)):
            watched: Any = getattr(layer, layer.watched)
            if is_sharded(watched):
                self._waiting = None
                print_log(
                    'AdapterGradientHook: gradients of a fully sharded model '
                    'cannot be listened to; nothing is checked.',
                    logger='current',
                )
                return
            if watched.requires_grad:
                note = partial(self._arrived, name)
                self._waiting[name] = watched.register_hook(note)

    def _arrived(self, name: str, grad: Any) -> None:
        if self._waiting:
            handle = self._waiting.pop(name, None)
            if handle is not None:
                handle.remove()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict | None = None,
    ) -> None:
        """Name the adapters that got none.

        Args:
            runner (Runner): The runner.
            batch_idx (int): Not used.
            data_batch (Any): Not used.
            outputs (dict, optional): Not used.

        Raises:
            LaunchError: If there are any that ``allow`` does not name.
        """
        if self._waiting is None:
            return
        waiting, self._waiting = self._waiting, None
        for handle in waiting.values():
            handle.remove()
        allowed = [
            n for n in waiting if any(p.fullmatch(n) for p in self._allow)
        ]
        if allowed:
            print_log(
                f'{len(allowed)} adapted layers got no gradient, as allowed, '
                f'among them {allowed[0]}.',
                logger='current',
                level=logging.WARNING,
            )
        silent = [name for name in waiting if name not in allowed]
        if silent:
            raise LaunchError(
                f'{len(silent)} adapted layers got no gradient in the first '
                f'iteration: {", ".join(silent[:3])}'
                f'{", ..." if len(silent) > 3 else ""}. If the model does not '
                'run them, exclude them from the targets. With activation '
                'checkpointing, use the kind that is not reentrant '
                '(use_reentrant=False). If it is meant, custom_hooks='
                "[dict(type='mmtpr.AdapterGradientHook', allow=[...])]."
            )
