"""mmtpr: person retrieval for mmengine."""

from mmtpr.utils.compat import (
    allow_mmengine_checkpoints,
    check_requirements,
    format_configs_once,
    import_setuptools_first,
    register_package,
)
from mmtpr.utils.seeding import seed_worker

from .version import __version__

check_requirements()
import_setuptools_first()
register_package()
allow_mmengine_checkpoints()
format_configs_once()

# For configs: worker_init_fn=dict(type='mmtpr.seed_worker').
__all__ = ['__version__', 'seed_worker']
