"""Keys of a runner's config: unknown ones, and overrides without effect."""

import difflib
import inspect
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner import Runner

from mmtpr.utils.config_variables import quoted_variables, unread_names
from mmtpr.utils.errors import LaunchError

from .warn import warn

#: Keys that are read beside the arguments of the runner.
_BESIDE = (
    *('runner_type', 'model_wrapper_cfg', 'find_unused_parameters'),
    *('custom_imports', 'compile', 'sync_bn', 'activation_checkpointing'),
    *('tta_model', 'tta_pipeline', 'cudnn_benchmark', 'log_processor'),
    *('efficient_conv_bn_eval', 'base_batch_size'),
    'strategy',  # of mmengine's FlexibleRunner
)
#: Variables that configs of OpenMMLab leave behind unread.
_CUSTOMARY = (
    *('dataset_type', 'data_root', 'data_preprocessor', 'img_norm_cfg'),
    *('file_client_args', 'backend_args', 'bgr_mean', 'bgr_std'),
)
#: Keys inside keys, where mmengine passes over what it does not know.
_INSIDE = {
    'env_cfg': (
        *('cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'),
        'tf32',  # of tools/train.py
    ),
    'auto_scale_lr': ('enable', 'base_batch_size'),
}
#: Keys of mmcv 1 and what took their place.
_FORMER = dict(
    optimizer='optim_wrapper.optimizer',
    optimizer_config='optim_wrapper',
    lr_config='param_scheduler',
    data='train_dataloader, val_dataloader and test_dataloader',
    runner='train_cfg',
    total_epochs='train_cfg.max_epochs',
    evaluation='val_evaluator and train_cfg.val_interval',
    checkpoint_config='default_hooks.checkpoint',
    log_config='default_hooks.logger',
    dist_params='env_cfg.dist_cfg',
    fp16='an optim_wrapper with type="AmpOptimWrapper"',
    resume_from='load_from, and resume=True',
    seed='randomness.seed',
)
#: Likeness from which a name is taken for a misspelt one.
_LIKE = 0.88


def runner_keys() -> set[str]:
    """List the top-level keys of a config that mmengine or mmtpr reads.

    Returns:
        set[str]: Their names.
    """
    arguments = set(inspect.signature(Runner.__init__).parameters)
    return arguments - {'self', 'cfg'} | {*_BESIDE}


def check_config_keys(cfg: Mapping[str, Any]) -> None:
    """Stop where a config has a key that nothing reads.

    Variables that the files themselves read are fine. Those that mmcv 1 read,
    and that went into nothing else, end in a WARNING.

    Args:
        cfg (Config): The config.

    Raises:
        LaunchError: If a name is nearly that of a key, or one that neither
            the files nor the runner read.
    """
    _check_inside(cfg)
    _warn_of_former(cfg)
    if isinstance(cfg, Config) and 'model' in cfg:
        _check_unread(cfg)
    known = runner_keys()
    for name in cfg:
        if name.endswith('_pipeline'):  # by habit a variable
            continue
        near = difflib.get_close_matches(name, known, 1, _LIKE)
        # A key with something behind it is a variable: val_dataloader2.
        longer = any(name.startswith(key) for key in near)
        if name in known or not near or _is_used(cfg, name):
            continue
        if longer:
            warn(
                f'The config has "{name}", which nothing reads; meant: '
                f'"{near[0]}"?'
            )
        else:
            raise LaunchError(
                f'The config has "{name}", which nothing reads; meant: '
                f'"{near[0]}"? Give a variable of your own another name.'
            )


def _check_unread(cfg: Config) -> None:
    if quoted := quoted_variables(cfg):
        raise LaunchError(
            f'The config has {quoted[0]} in quotes, where mmengine puts no '
            'value in its place: leave out the quotes, or read _base_.NAME.'
        )
    passed = {*runner_keys(), *_CUSTOMARY, *_FORMER}
    for name, by_base in unread_names(cfg).items():
        if name in passed or name.endswith('_pipeline'):
            continue
        if by_base and _is_used(cfg, name):  # says again what a base says
            continue
        if by_base:
            raise LaunchError(
                f'The config sets "{name}", which a base of it has read '
                'before: this changes nothing. Override the keys that it went '
                'into.'
            )
        near = _meant(cfg, name)
        line = (
            f'The config has "{name}", which nothing reads'
            f'{f"; meant: {near}?" if near else "."}'
        )
        # Code of one's own may look into the config.
        if 'custom_imports' in cfg or 'runner_type' in cfg:
            warn(line)
        else:
            raise LaunchError(f'{line} Remove it, or move it to its place.')


def _meant(cfg: Config, name: str) -> str:
    """The key that a name may stand for: deeper in the config, or like it."""
    known = runner_keys()
    roots = [root for root in cfg if root in known]
    for place in (_find(cfg[root], name, root) for root in roots):
        if place:
            return place
    near = difflib.get_close_matches(name, known, 1, 0.6)
    return ' or '.join(near or sorted(key for key in known if name in key))


def _find(node: Any, name: str, place: str) -> str:
    if isinstance(node, Mapping):
        if name in node:
            return f'{place}.{name}'
        parts = [*node.items()]
    else:
        parts = [*enumerate(node)] if isinstance(node, list | tuple) else []
    found = (_find(part, name, f'{place}.{key}') for key, part in parts)
    return next(filter(None, found), '')


def _check_inside(cfg: Mapping[str, Any]) -> None:
    for key, known in _INSIDE.items():
        for name in cfg.get(key) or {}:
            if name not in known:
                raise LaunchError(
                    f'{key} of the config has "{name}", which nothing reads; '
                    f'it may hold {", ".join(known)}.'
                )


def _warn_of_former(cfg: Mapping[str, Any]) -> None:
    for name, now in _FORMER.items():
        value = cfg.get(name)
        # A number may have gone into another one.
        told = isinstance(value, Mapping) or now.split('.')[0] not in cfg
        if value is not None and told and not _is_used(cfg, name):
            warn(
                f'The config has "{name}", which nothing reads: mmcv 1 did, '
                f'mmengine has {now}.'
            )


def _is_used(cfg: Mapping[str, Any], name: str) -> bool:
    """Tell whether a variable of the file went into a part of the config."""
    known = runner_keys()
    return any(_holds(cfg[key], cfg[name]) for key in cfg if key in known)


def _holds(node: Any, value: Any) -> bool:
    """Find a value in a part; a dict may have been merged with another."""
    if node == value or (
        isinstance(node, Mapping)
        and isinstance(value, Mapping)
        and value
        and all(k in node and node[k] == v for k, v in value.items())
    ):
        return True
    if isinstance(node, Mapping):
        return any(_holds(part, value) for part in node.values())
    if isinstance(node, list | tuple):
        return any(_holds(part, value) for part in node)
    return False


def check_option_roots(
    options: Iterable[str],
    cfg: Mapping[str, Any],
    name: str = '--cfg-options',
    parts: Iterable[str] = (),
) -> None:
    """Check the first parts of the keys that a command line overrides.

    Args:
        options (Iterable[str]): Such as ``'optim_wrapper.optimizer.lr'``.
        cfg (Config): The config, before they are merged into it.
        name (str): The option of the command line. Defaults to
            ``'--cfg-options'``.
        parts (Iterable[str]): Keys that something else than a runner reads.
            Defaults to none.

    Raises:
        LaunchError: If neither the config has such a key nor anything reads
            one, naming the nearest.
    """
    known = runner_keys() | {*parts}
    for option in options:
        root = option.split('.')[0]
        if root in known:
            continue
        if root in cfg:
            print_log(
                f'{name} {option}: "{root}" is a variable of the config file, '
                'which was read with the file: overriding it changes nothing. '
                'Override the keys that it went into.',
                logger='current',
                level=logging.WARNING,
            )
            continue
        near = difflib.get_close_matches(root, {*known, *cfg}, 1, 0.6)
        raise LaunchError(
            f'{name} {option}: there is no "{root}" in the config'
            f'{f"; meant: {near[0]}?" if near else "."}'
        )
