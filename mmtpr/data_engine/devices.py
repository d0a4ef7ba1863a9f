"""Where models of the data engine compute."""

import torch


def chosen_device(device: str | None) -> str:
    """Choose a device.

    Args:
        device (str, optional): One that was asked for.

    Returns:
        str: That one, else ``'cuda'`` where there is one, else ``'cpu'``.
    """
    return device or ('cuda' if torch.cuda.is_available() else 'cpu')
