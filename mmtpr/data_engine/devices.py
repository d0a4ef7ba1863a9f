"""Where models of the data engine compute, and in which type."""

import torch


def chosen_device(device: str | None) -> str:
    """Choose a device.

    Args:
        device (str, optional): One that was asked for.

    Returns:
        str: That one, else ``'cuda'`` where there is one, else ``'cpu'``.
    """
    return device or ('cuda' if torch.cuda.is_available() else 'cpu')


def numbered_device(device: str) -> str:
    """Name the very GPU of this process.

    torch takes ``'cuda'`` for the current one; others take it for the first
    of the machine.

    Args:
        device (str): A device.

    Returns:
        str: The same one, with its index if it is a GPU.
    """
    if device == 'cuda':
        return f'cuda:{torch.cuda.current_device()}'
    return device


def named_dtype(name: str) -> torch.dtype:
    """Find the type of weights.

    Args:
        name (str): Such as ``'bfloat16'``.

    Returns:
        torch.dtype: The type.

    Raises:
        ValueError: If torch has none of this name.
    """
    found = getattr(torch, name, None) if isinstance(name, str) else None
    if not isinstance(found, torch.dtype):
        raise ValueError(
            f"There is no dtype {name!r}: give torch's name of it, such as "
            '"bfloat16", "float16" or "float32".'
        )
    return found
