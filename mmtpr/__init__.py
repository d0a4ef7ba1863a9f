"""mmtpr: person retrieval for mmengine."""

from mmtpr.utils.compat import (
    allow_mmengine_checkpoints,
    check_requirements,
    register_package,
)

from .version import __version__

check_requirements()
register_package()
allow_mmengine_checkpoints()

__all__ = ['__version__']
