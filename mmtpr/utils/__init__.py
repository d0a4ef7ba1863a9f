"""Helpers shared by all of mmtpr."""

from .atomic import atomic_folder, atomic_write
from .io import load_weights, read_json
from .lazy import require
from .setup_env import register_all_modules

__all__ = [
    'atomic_folder',
    'atomic_write',
    'load_weights',
    'read_json',
    'register_all_modules',
    'require',
]
