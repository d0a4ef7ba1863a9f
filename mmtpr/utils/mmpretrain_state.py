"""Says what is wrong with mmpretrain when a config needs it.

mmtpr itself never needs mmpretrain. Where a config names one of its types and
mmpretrain is absent or broken, mmengine only says that the type "is not in the
registry"; the functions here say why and what to do.
"""

from collections.abc import Iterator
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import Any

from packaging.version import Version

_PREFIX = 'mmpretrain.'
#: transformers from which mmpretrain's multimodal models cannot be imported.
_TOO_NEW = Version('4.52')


def require_mmpretrain(what: str, module: str = 'mmpretrain.models') -> None:
    """Import a part of mmpretrain or say in one sentence what is wrong.

    Args:
        what (str): What needs mmpretrain, for the message.
        module (str): The part that is needed. Defaults to
            ``'mmpretrain.models'``.

    Raises:
        ImportError: If mmpretrain is absent or cannot be imported. The message
            names the cause and the cure.
    """
    try:
        import_module(module)
    except Exception as error:
        # A broken mmpretrain raises TypeError as well as ImportError.
        raise ImportError(f'{what} needs mmpretrain, {_cause(error)}') from (
            error
        )


def check_mmpretrain_types(cfg: Any) -> None:
    """Check that the ``mmpretrain.`` types a config names can be had.

    Args:
        cfg (Any): A config, a part of one, or anything else. Types are looked
            for at every depth.

    Raises:
        ImportError: If there is such a type and mmpretrain is absent or
            broken.
    """
    name = next(_mmpretrain_types(cfg), None)
    if name is not None:
        require_mmpretrain(f'"{name}"')


def _mmpretrain_types(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        kind = node.get('type')
        if isinstance(kind, str) and kind.startswith(_PREFIX):
            yield kind
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for value in node:
            yield from _mmpretrain_types(value)


def _cause(error: Exception) -> str:
    """The second half of the sentence: cause and cure."""
    if not _installed('mmpretrain'):
        return (
            'which is not installed; get it with pip install '
            '"mmtpr[openmmlab]".'
        )
    if _installed('pycocotools') and _transformers_too_new():
        return (
            'which cannot be imported while pycocotools and transformers '
            f'{metadata.version("transformers")} are both installed; pip '
            'install "transformers<4.52" or pip uninstall pycocotools.'
        )
    return f'which cannot be imported ({type(error).__name__}: {error}).'


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ValueError:  # sys.modules holds None
        return False


def _transformers_too_new() -> bool:
    try:
        return Version(metadata.version('transformers')) >= _TOO_NEW
    except metadata.PackageNotFoundError:
        return False
