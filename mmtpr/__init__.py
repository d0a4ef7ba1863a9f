"""mmtpr: person retrieval for mmengine."""

from mmtpr.utils.compat import check_requirements, register_package

from .version import __version__

check_requirements()
register_package()

__all__ = ['__version__']
