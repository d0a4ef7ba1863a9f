"""Shims for the mmengine stacks in use, each with its end of life."""

import contextlib
import sys
import warnings
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

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
    package itself is asked for its version.

    Raises:
        ImportError: If one is absent or older than the minimum.
    """
    for name, (minimum, untried) in _REQUIREMENTS.items():
        try:
            found = Version(_version_of(name))
        except ImportError as error:
            raise ImportError(
                f'mmtpr needs {name}>={minimum}, which cannot be imported '
                f'({error}). {_INSTALL}'
            ) from error
        if found < Version(minimum):
            raise ImportError(
                f'mmtpr needs {name}>={minimum}, found {found}. {_INSTALL}'
            )
        if found >= Version(untried):
            warnings.warn(
                f'mmtpr has not been tried with {name} {found}.', stacklevel=3
            )


def _version_of(name: str) -> str:
    """Version of a package, without the seconds that importing it takes."""
    if name not in sys.modules:
        spec = find_spec(name)
        if spec is None:
            raise ImportError(f"No module named '{name}'")
        for folder in spec.submodule_search_locations or ():
            file = Path(folder) / 'version.py'
            version = file.is_file() and _run_file(file)
            if version:
                return version
    return import_module(name).__version__


def _run_file(path: Path) -> str | None:
    """``__version__`` of a file that stands apart from its package."""
    spec = spec_from_file_location(f'_version_{path.parent.name}', path)
    if spec is None or spec.loader is None:
        return None
    module = module_from_spec(spec)
    with contextlib.suppress(Exception):  # importing the package tells why
        spec.loader.exec_module(module)
    return getattr(module, '__version__', None)


def register_package() -> None:
    """Let ``_base_ = 'mmtpr::...'`` find our configs.

    mmengine accepts only packages of a fixed list. End of life: when mmengine
    looks any installed package up.
    """
    from mmengine.config.utils import MODULE2PACKAGE

    MODULE2PACKAGE.setdefault('mmtpr', 'mmtpr')


def import_setuptools_first() -> None:
    """Import setuptools before a runner imports distutils.

    ``torch.compile`` builds with setuptools, which does not want to come after
    the standard library's distutils; mmengine's report on the environment,
    which every runner writes, imports that one.

    End of life: with Python 3.11, the last to bring distutils.
    """
    if 'distutils' not in sys.modules:
        with contextlib.suppress(ImportError):
            import_module('setuptools')


def leave_config_lines() -> None:
    """Keep the text of a config as mmengine puts it together.

    It is one item a line and indented; mmengine then sends it through yapf,
    which changes a few spaces and takes half a second and more for a config
    of 300 lines, each time the text is asked for: most of the time of a short
    run.

    End of life: with the last mmengine that calls yapf.
    """
    from mmengine.config import config

    if hasattr(config, 'FormatCode'):
        config.FormatCode = _as_it_is


def _as_it_is(source: str, **_: Any) -> tuple[str, bool]:
    """Stands in for yapf; the file ends with its last line."""
    return source.rstrip('\n') + '\n', False


class _AfterTorch:
    """Finds torch once, and has mmengine's checkpoints allowed after it."""

    def find_spec(self, name: str, path: Any = None, target: Any = None):
        if name != 'torch':
            return None
        sys.meta_path.remove(self)  # type: ignore[arg-type]
        spec = find_spec('torch')
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            allow_mmengine_checkpoints()

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def allow_checkpoints_with_torch() -> None:
    """Call :func:`allow_mmengine_checkpoints`, now or when torch is there.

    ``import mmtpr`` is not to import torch, which takes seconds.
    """
    if 'torch' in sys.modules:
        allow_mmengine_checkpoints()
    elif not any(isinstance(f, _AfterTorch) for f in sys.meta_path):
        sys.meta_path.insert(0, _AfterTorch())  # type: ignore[arg-type]


def allow_mmengine_checkpoints() -> None:
    """Let ``torch.load`` read checkpoints that plain mmengine 0.10 wrote.

    They pickle the log buffers of the message hub, numpy scalars and, through
    the buffers' table of methods, ``getattr``, so that loading with
    ``weights_only=True``, the default since torch 2.6, refuses them. This
    allows exactly these; ``getattr`` only on ``HistoryBuffer``. Our own
    checkpoints need none of it (see ``PlainCheckpointHook``).

    End of life: when nobody resumes from checkpoints of mmengine < 0.11.
    """
    import numpy as np
    import torch
    from mmengine.logging import HistoryBuffer

    multiarray = import_module(
        'numpy._core.multiarray'
        if Version(np.__version__) >= Version('2')
        else 'numpy.core.multiarray'
    )
    allowed = [HistoryBuffer, np.ndarray, np.dtype]
    allowed += [type(np.dtype(kind)) for kind in ('f8', 'f4', 'i8', 'i4')]
    allowed += [(_history_buffer_method, 'builtins.getattr')]
    for name in ('_reconstruct', 'scalar'):  # numpy 2 and numpy 1 names
        function = getattr(multiarray, name)
        for package in ('numpy._core', 'numpy.core'):
            allowed.append((function, f'{package}.multiarray.{name}'))
    torch.serialization.add_safe_globals(allowed)


def _history_buffer_method(owner: type, name: str):
    """``getattr`` restricted to what a pickled ``HistoryBuffer`` asks for."""
    from mmengine.logging import HistoryBuffer

    if owner is not HistoryBuffer or name.startswith('_'):
        raise ValueError(
            f'The checkpoint asks for {owner!r}.{name}, which is not safe.'
        )
    return getattr(owner, name)
