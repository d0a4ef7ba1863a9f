"""Optional dependencies, imported on first use."""

from importlib import import_module
from types import ModuleType


def require(module: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional module or say how to install it.

    Args:
        module (str): Import name, e.g. ``'transformers'``.
        extra (str): The extra of mmtpr that brings it, e.g. ``'blip2'``.
        purpose (str): What needs it, for the message.

    Returns:
        ModuleType: The imported module.

    Raises:
        ImportError: If the module is not installed. The message names the
            extra.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f'{purpose} needs "{module}", which cannot be imported '
            f'({error}). Install it with: pip install "mmtpr[{extra}]"'
        ) from error
