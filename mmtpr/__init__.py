"""mmtpr: person retrieval for mmengine.

Importing this takes a part of a second: torch and mmcv come with the parts
that need them, so that a tool can answer ``--help`` before they do.
"""

from typing import Any

from mmtpr.utils.compat import (
    allow_checkpoints_with_torch,
    check_requirements,
    import_setuptools_first,
    leave_config_lines,
    register_package,
)

from .version import __version__

check_requirements()
import_setuptools_first()
register_package()
leave_config_lines()
allow_checkpoints_with_torch()

# For configs: worker_init_fn=dict(type='mmtpr.seed_worker').
__all__ = ['__version__', 'seed_worker']


def __getattr__(name: str) -> Any:
    if name == 'seed_worker':
        from mmtpr.utils.seeding import seed_worker

        return seed_worker
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
