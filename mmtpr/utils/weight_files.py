"""Reading files of weights of any origin, without running what they hold."""

import os
import zipfile
from typing import Any

import torch

from .io import damaged, load_weights


def read_weight_file(path: str | os.PathLike) -> Any:
    """Read a checkpoint, a safetensors file or a TorchScript archive.

    Args:
        path (str | PathLike): The file.

    Returns:
        Any: The content, usually a dict; of an archive, its state dict.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged or holds more than tensors and plain
            values.
    """
    if is_torchscript(path):
        try:
            return torch.jit.load(path, 'cpu').state_dict()
        except RuntimeError as error:
            raise ValueError(damaged(path, error)) from error
    if not (str(path).endswith('.safetensors') and os.path.isfile(path)):
        return load_weights(path)
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(damaged(path, RuntimeError(error))) from error


def is_torchscript(path: str | os.PathLike) -> bool:
    """Whether a file is a TorchScript archive, as OpenAI publishes.

    Args:
        path (str | PathLike): The file.

    Returns:
        bool: True if it is one.
    """
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return False
    return any(name.endswith('/constants.pkl') for name in names)
