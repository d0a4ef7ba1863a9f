"""Checkpoints that load safely everywhere."""

from typing import Any

from mmengine.hooks import Hook

from mmtpr.checkpoints.function_facts import FACTS, function_facts
from mmtpr.checkpoints.plain import to_plain
from mmtpr.registry import HOOKS
from mmtpr.text.config_tokenizers import token_facts
from mmtpr.utils.unwrap import unwrap
from mmtpr.utils.warn import warn

# Tensors only, written by torch itself, and too large to walk through.
_TENSORS = ('state_dict', 'ema_state_dict')


@HOOKS.register_module()
class PlainCheckpointHook(Hook):
    """Write checkpoints that load with ``weights_only=True``.

    A checkpoint of mmengine holds the log buffers and numpy scalars of the
    message hub, which ``torch.load`` refuses since torch 2.6, so that
    ``--resume`` fails on an unpatched mmengine. This hook drops the log
    buffers (only the smoothing window of the log restarts) and turns the rest
    into plain values: epoch, iteration, best score and the like survive. What
    has no plain form is dropped with a warning, except in the optimizer and
    the schedulers, where losing it would be an error.

    Needed with mmengine 0.10; harmless with later versions.

    Example:
        >>> default_hooks = dict(
        ...     plain_checkpoint=dict(type='mmtpr.PlainCheckpointHook'))
    """

    # After every hook that adds something to the checkpoint.
    priority = 'LOWEST'

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Replace everything but weights by plain values, in place.

        Args:
            runner (Runner): The runner of the training process.
            checkpoint (dict): What is about to be saved.

        Raises:
            TypeError: If the state of the optimizer or of a scheduler has no
                plain form.
        """
        facts = function_facts(unwrap(runner.model), token_facts(runner.cfg))
        if facts:
            checkpoint.setdefault('meta', {})[FACTS] = facts
        if 'message_hub' in checkpoint:
            checkpoint['message_hub'] = _plain_hub(checkpoint['message_hub'])
        for key in list(checkpoint):
            if key in _TENSORS or key == 'message_hub':
                continue
            if key == 'param_schedulers':
                checkpoint[key] = _without_functions(checkpoint[key])
            try:
                checkpoint[key] = to_plain(checkpoint[key])
            except TypeError as error:
                if key in ('optimizer', 'param_schedulers'):
                    raise TypeError(
                        f'The state "{key}" cannot be saved safely: {error}. '
                        'Turn off PlainCheckpointHook to save it anyway.'
                    ) from error
                checkpoint[key] = _plain_parts(checkpoint[key], key)


def _without_functions(state: Any) -> Any:
    """Scheduler states without functions, which the constructors set.

    OneCycleLR keeps the function it anneals with in its state; loading leaves
    what is not in the state as the constructor made it.
    """
    if isinstance(state, dict):
        return {
            key: _without_functions(value)
            for key, value in state.items()
            if not callable(value)
        }
    if isinstance(state, list):
        return [_without_functions(value) for value in state]
    return state


def _plain_hub(hub: dict) -> dict:
    """The message hub's state without log buffers."""
    info = _plain_parts(hub['runtime_info'], 'message_hub')
    resumed = {k: bool(v) for k, v in hub['resumed_keys'].items() if k in info}
    return dict(log_scalars={}, runtime_info=info, resumed_keys=resumed)


def _plain_parts(values: Any, where: str) -> Any:
    """Plain form of each entry of a dict, without those that have none."""
    if not isinstance(values, dict):
        _warn(where, type(values).__qualname__)
        return None
    plain = {}
    for key, value in values.items():
        try:
            plain[key] = to_plain(value)
        except TypeError as error:
            _warn(f'{where}[{key!r}]', str(error))
    return plain


def _warn(where: str, what: str) -> None:
    warn(
        f'"{where}" is not saved: it holds {what}, which could not be '
        'loaded safely.'
    )
