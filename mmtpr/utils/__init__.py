"""Helpers shared by all of mmtpr."""

from .io import atomic_write, read_json
from .lazy import require
from .setup_env import register_all_modules

__all__ = [
    'atomic_write',
    'read_json',
    'register_all_modules',
    'require',
]
