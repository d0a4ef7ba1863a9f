"""Helpers shared by all of mmtpr."""

from .atomic import atomic_folder, atomic_write
from .io import read_json
from .lazy import require
from .setup_env import register_all_modules

__all__ = [
    'atomic_folder',
    'atomic_write',
    'read_json',
    'register_all_modules',
    'require',
]
