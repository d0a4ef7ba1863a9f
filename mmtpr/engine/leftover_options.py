"""Options of a config that a run cannot use."""

from importlib.util import find_spec

from mmengine.config import Config
from mmengine.logging import print_log

_STANDARD_HOOKS = (
    'runtime_info',
    'timer',
    'sampler_seed',
    'logger',
    'param_scheduler',
    'checkpoint',
)


def tidy(cfg: Config) -> None:
    """Drop what a run cannot use.

    Hooks set to None, vis backends that are not installed, and options of
    worker processes where a loader has none.

    Args:
        cfg (Config): Changed in place.
    """
    _tidy_loaders(cfg)
    hooks = cfg.get('default_hooks') or {}
    for name in [n for n, hook in hooks.items() if hook is None]:
        if name not in _STANDARD_HOOKS:
            hooks.pop(name)
    backends = (cfg.get('visualizer') or {}).get('vis_backends') or []
    for backend in list(backends):
        kind = backend.get('type') if isinstance(backend, dict) else None
        if kind == 'TensorboardVisBackend' and not find_spec('tensorboard'):
            backends.remove(backend)
            print_log('No TensorBoard log: pip install tensorboard.')


def _tidy_loaders(cfg: Config) -> None:
    """Drop what torch refuses beside ``num_workers=0``."""
    for part in ('train', 'val', 'test'):
        loader = cfg.get(f'{part}_dataloader') or {}
        if isinstance(loader, dict) and not loader.get('num_workers'):
            loader.pop('prefetch_factor', None)
            loader.pop('persistent_workers', None)
