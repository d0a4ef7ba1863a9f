"""Values of a config: words where numbers belong, numbers of no sense."""

import logging
import math
import multiprocessing
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from mmengine.config import Config

from mmtpr.utils.config_keys import runner_keys
from mmtpr.utils.errors import LaunchError

from .argument_types import check_argument_types, is_list
from .optimizer_arguments import check_optimizer


class _Range(NamedTuple):
    what: str
    holds: Callable[[Any], bool]


def _whole(value: Any) -> bool:
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int) and not isinstance(value, bool)


_COUNT = _Range('a whole number >= 1', lambda v: _whole(v) and v >= 1)
_LENGTH = _Range('a whole number >= 0', lambda v: _whole(v) and v >= 0)
_AHEAD = _Range(
    'None or a whole number >= 1', lambda v: v is None or _COUNT.holds(v)
)
_SEED = _Range(
    'None or a whole number from 0 to 2**32 - 1',
    lambda v: v is None or (_whole(v) and 0 <= v < 2**32),
)
_RATE = _Range(
    'a number >= 0',
    lambda v: (
        v is None
        or (isinstance(v, int | float) and math.isfinite(v) and v >= 0)
    ),
)
_ABOVE = _Range(
    'a number > 0',
    lambda v: isinstance(v, int | float) and math.isfinite(v) and v > 0,
)
_SWITCH = _Range('True or False', lambda v: v is None or isinstance(v, bool))
_EVERY = _Range(
    '-1 for never, or a whole number >= 1',
    lambda v: _whole(v) and (v == -1 or v >= 1),
)
_DICT = _Range('a dict', lambda v: v is None or isinstance(v, Mapping))
_PART = _Range('a dict with a type', lambda v: bool(v))
_LIST = _Range('a list', lambda v: v is None or is_list(v))
_DICTS = _Range(
    'a dict or a list of dicts',
    lambda v: isinstance(v, Mapping) or _LIST.holds(v),
)
_LEVEL = _Range(
    'a level such as INFO',
    lambda v: isinstance(v, int) or isinstance(logging.getLevelName(v), int),
)
_START = _Range(
    f'one of {", ".join(multiprocessing.get_all_start_methods())}',
    lambda v: v in (None, *multiprocessing.get_all_start_methods()),
)
_FILE = _Range('a path or None', lambda v: v is None or isinstance(v, str))
_SPLITS = ('train', 'val', 'test')
_LOADERS = tuple(f'{split}_dataloader' for split in _SPLITS)
#: Dotted key -> what it must be, each after what it is part of. A part that is
#: not there is not checked.
_RANGES: dict[str, _Range] = {
    'model': _DICT,
    'model.encoder': _PART,
    **dict.fromkeys(_LOADERS, _DICTS),
    **{f'{loader}.dataset': _PART for loader in _LOADERS},
    **{f'{loader}.batch_size': _COUNT for loader in _LOADERS},
    **{f'{loader}.num_workers': _LENGTH for loader in _LOADERS},
    **{f'{loader}.prefetch_factor': _AHEAD for loader in _LOADERS},
    **{f'{loader}.drop_last': _SWITCH for loader in _LOADERS},
    **{f'{loader}.dataset.pipeline': _LIST for loader in _LOADERS},
    **{f'{split}_cfg': _DICT for split in _SPLITS},
    'optim_wrapper': _DICT,
    'optim_wrapper.optimizer.lr': _RATE,
    'optim_wrapper.accumulative_counts': _COUNT,
    'optim_wrapper.paramwise_cfg': _DICT,
    'optim_wrapper.clip_grad': _DICT,
    'optim_wrapper.clip_grad.max_norm': _ABOVE,
    'param_scheduler': _DICTS,
    'default_hooks': _DICT,
    'default_hooks.logger.interval': _COUNT,
    'default_hooks.checkpoint.interval': _EVERY,
    'custom_hooks': _LIST,
    'auto_scale_lr': _DICT,
    'auto_scale_lr.base_batch_size': _COUNT,
    'randomness': _DICT,
    'randomness.seed': _SEED,
    'randomness.deterministic': _SWITCH,
    'env_cfg': _DICT,
    'env_cfg.dist_cfg': _DICT,
    'env_cfg.tf32': _SWITCH,
    'env_cfg.mp_cfg': _DICT,
    'env_cfg.mp_cfg.mp_start_method': _START,
    'env_cfg.mp_cfg.opencv_num_threads': _LENGTH,
    'log_processor.window_size': _COUNT,
    'log_level': _LEVEL,
    'visualizer.vis_backends': _LIST,
    'load_from': _FILE,
    'resume': _SWITCH,
}
#: Of mmengine's own loops; others may read them in their way.
_OF_LOOPS = {
    'train_cfg.max_epochs': _COUNT,
    'train_cfg.max_iters': _COUNT,
    'train_cfg.val_interval': _COUNT,
}
_LOOPS = (None, 'EpochBasedTrainLoop', 'IterBasedTrainLoop')
#: What a runner wants all of, or nothing.
_TOGETHER = (
    ('train_dataloader', 'train_cfg', 'optim_wrapper'),
    ('val_dataloader', 'val_cfg', 'val_evaluator'),
    ('test_dataloader', 'test_cfg', 'test_evaluator'),
)


def check_config_values(cfg: Config) -> None:
    """Stop at values that would end in an error of some library.

    Args:
        cfg (Config): The config, with all overrides.

    Raises:
        LaunchError: At the first such value, with its key.
    """
    parts = {name: cfg[name] for name in cfg}
    _, loop = _look_up(parts, 'train_cfg.type')
    ranges = _RANGES | (_OF_LOOPS if loop in _LOOPS else {})
    for key, wanted in ranges.items():
        found, value = _look_up(parts, key)
        if found and not wanted.holds(value):
            raise LaunchError(f'{key}={value!r}: it must be {wanted.what}.')
    for name, hook in (parts.get('default_hooks') or {}).items():
        if isinstance(hook, Mapping) and 'type' not in hook:
            raise LaunchError(
                f'default_hooks.{name} has no type; is the name right?'
            )
    check_optimizer(cfg.get('optim_wrapper'))
    known = runner_keys()
    for root in [name for name in cfg if name in known]:
        check_argument_types(cfg[root], root)


def check_whole_groups(cfg: Config) -> None:
    """Stop where a runner would lack a part of training or evaluation.

    Args:
        cfg (Config): The config of a runner.

    Raises:
        LaunchError: If it has no model, or some of what belongs together.
    """
    if cfg.get('model') is None:
        raise LaunchError('The config has no model.')
    for group in _TOGETHER:
        there = [name for name in group if cfg.get(name) is not None]
        if there and len(there) < len(group):
            absent = [name for name in group if name not in there]
            raise LaunchError(
                f'The config has {" and ".join(there)} but no '
                f'{" and no ".join(absent)}: a runner needs all of them or '
                'none.'
            )


def _look_up(cfg: Any, key: str) -> tuple[bool, Any]:
    node = cfg
    for part in key.split('.'):
        if not isinstance(node, Mapping) or part not in node:
            return False, None
        node = node[part]
    return True, node
