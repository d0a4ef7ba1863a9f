"""Hooks that tools add to a config: checks of what is loaded and trained."""

from typing import Any

from mmengine.config import Config

from mmtpr.utils.errors import LaunchError

from .hooks.atomic_checkpoint import check_arguments

_OF_TRAINING = (
    *('ResumeCheckHook', 'EpochLengthHook', 'AdapterGradientHook'),
    *('CutCaptionsHook', 'RateRatioHook'),
)


def require_fit(cfg: Config, **options: bool) -> None:
    """Stop where a checkpoint does not fit the model.

    Args:
        cfg (Config): Changed in place: a ``mmtpr.StrictLoadHook``, beside
            what the config tells such a hook already.
        **options (bool): ``test_only`` and ``allow_partial`` for a test.
            Without them, for training, a hook that the config does not have
            is lenient.
    """
    hooks = list(cfg.get('custom_hooks') or [])
    for hook in hooks:
        if _hook_name(hook) == 'StrictLoadHook':
            hook.update(options)
            return
    options = options or dict(lenient=True)
    hooks.append(dict(type='mmtpr.StrictLoadHook', **options))
    cfg.custom_hooks = hooks


def require_training_checks(cfg: Config) -> None:
    """Let training stop where it would train nothing, or adapters nothing.

    Args:
        cfg (Config): Changed in place: the hooks of ``_OF_TRAINING``, unless
            the config has them; one in the place of ``compile``.

    Raises:
        TypeError: If mmengine's CheckpointHook has an argument it would mind
            only when it saves.
    """
    saver = (cfg.get('default_hooks') or {}).get('checkpoint')
    if isinstance(saver, dict) and _hook_name(saver) == 'CheckpointHook':
        check_arguments({*saver} - {'type'}, 'CheckpointHook')
    use_compile_hook(cfg)
    hooks = list(cfg.get('custom_hooks') or [])
    present = [*map(_hook_name, hooks)]
    for name in _OF_TRAINING:
        if name not in present:
            hooks.append(dict(type=f'mmtpr.{name}'))
    cfg.custom_hooks = hooks


def use_compile_hook(cfg: Config) -> None:
    """Let a :class:`CompileHook` do what mmengine's ``compile`` key asks for.

    Args:
        cfg (Config): Changed in place; ``compile`` is gone.

    Raises:
        LaunchError: If the key is no bool and no dict, or a hook is there.
    """
    wanted = cfg.pop('compile', None)
    if wanted is None or wanted is False:
        return
    if not (wanted is True or isinstance(wanted, dict)):
        raise LaunchError(
            f'compile={wanted!r}: it must be True or a dict of arguments of '
            "torch.compile, such as dict(mode='reduce-overhead')."
        )
    hooks = list(cfg.get('custom_hooks') or [])
    if 'CompileHook' in map(_hook_name, hooks):
        raise LaunchError(
            'The config has both compile and a CompileHook in custom_hooks: '
            'take one of them out.'
        )
    options = {} if wanted is True else wanted
    hooks.append(dict(type='mmtpr.CompileHook', **options))
    cfg.custom_hooks = hooks


def _hook_name(hook: Any) -> str:
    kind: Any = hook.get('type') if isinstance(hook, dict) else type(hook)
    kind = kind if isinstance(kind, str) else kind.__name__
    return kind.rpartition('.')[2]
