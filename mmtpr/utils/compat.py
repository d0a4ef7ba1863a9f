"""Shims for the mmengine stacks in use, each with its end of life."""

import warnings
from importlib import import_module

from packaging.version import Version

_INSTALL = (
    'Install the stack with: pip install "mmtpr[openmmlab]" (or '
    '"mmtpr[onedl]" for the maintained forks).'
)
# import name: (minimum, first version nobody has tried)
_REQUIREMENTS = {'mmengine': ('0.10.6', '0.12'), 'mmcv': ('2.0.0', '3.0.0')}


def check_requirements() -> None:
    """Check mmengine and mmcv by import name.

    Distribution names vary (``mmcv``, ``mmcv-lite``, ``onedl-mmcv``), so the
    imported module is asked for its version.

    Raises:
        ImportError: If one is absent or older than the minimum.
    """
    for name, (minimum, untried) in _REQUIREMENTS.items():
        try:
            module = import_module(name)
        except ImportError as error:
            raise ImportError(
                f'mmtpr needs {name}>={minimum}, which cannot be imported '
                f'({error}). {_INSTALL}'
            ) from error
        found = Version(module.__version__)
        if found < Version(minimum):
            raise ImportError(
                f'mmtpr needs {name}>={minimum}, found {found}. {_INSTALL}'
            )
        if found >= Version(untried):
            warnings.warn(
                f'mmtpr has not been tried with {name} {found}.', stacklevel=3
            )


def register_package() -> None:
    """Let ``_base_ = 'mmtpr::...'`` find our configs.

    mmengine accepts only packages of a fixed list. End of life: when mmengine
    looks any installed package up.
    """
    from mmengine.config.utils import MODULE2PACKAGE

    MODULE2PACKAGE.setdefault('mmtpr', 'mmtpr')
