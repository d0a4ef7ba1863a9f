"""Short names for texts, weights and models: equal content, equal name."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from .plain_values import plain_value

_SIZE = 16
_CHUNK = 2**14
#: Largest file that is read whole, and what is read of a larger one.
_WHOLE, _PARTS, _PART = 2**26, 16, 2**20


def text_fingerprint(texts: Iterable[str]) -> str:
    """Fingerprint of a sequence of texts, order included.

    Args:
        texts (Iterable[str]): The texts.

    Returns:
        str: 32 hexadecimal digits.
    """
    digest = hashlib.blake2b(digest_size=_SIZE)
    for chunk in _chunks(texts):
        encoded = [text.encode('utf-8', 'surrogatepass') for text in chunk]
        digest.update(b''.join(b'%d:%b' % (len(e), e) for e in encoded))
    return digest.hexdigest()


def weights_fingerprint(module: torch.nn.Module) -> str:
    """Fingerprint of all parameters and buffers that a checkpoint holds.

    A module says by a class attribute ``not_in_fingerprint`` which of its own
    tensors are left out.

    Args:
        module (nn.Module): The model.

    Returns:
        str: 32 hexadecimal digits.
    """
    digest = hashlib.blake2b(digest_size=_SIZE)
    spared = {
        f'{name}.{leaf}'.removeprefix('.')
        for name, part in module.named_modules(remove_duplicate=False)
        for leaf in getattr(type(part), 'not_in_fingerprint', ())
    }
    for name, value in sorted(module.state_dict().items()):
        if name in spared:
            continue
        if not isinstance(value, torch.Tensor):
            digest.update(f'{name}={value!r};'.encode())
            continue
        value = value.detach().cpu().contiguous()
        digest.update(f'{name}:{value.dtype}:{tuple(value.shape)};'.encode())
        if value.numel():
            content: Any = value.reshape(-1).view(torch.uint8).numpy()
            digest.update(content)
    return digest.hexdigest()


def path_fingerprint(path: str | os.PathLike) -> str | None:
    """Fingerprint of what a path holds, such as the files of a model.

    A file of more than 64 MiB counts by its size and 16 parts of 1 MiB,
    spread from its first to its last byte: that finds weights that were
    trained again, and not every change of a few bytes. Of a folder all files
    count, also in folders below, but for hidden ones and ``.md``.

    Args:
        path (str | PathLike): File or folder, or a name that is none, such
            as that of a model at a hub.

    Returns:
        str | None: 32 hexadecimal digits; None if nothing is there.

    Raises:
        ValueError: If a file cannot be read.
    """
    path = Path(path)
    if not path.exists():
        return None
    names = [''] if path.is_file() else sorted(_files_below(path))
    digest = hashlib.blake2b(digest_size=_SIZE)
    for name in names:
        file = path / name if name else path
        try:
            size = file.stat().st_size
            digest.update(f'{len(name)}:{name}:{size};'.encode())
            for part in _parts(file, size):
                digest.update(part)
        except OSError as error:
            raise ValueError(
                f'"{file}" cannot be read: {error.strerror}.'
            ) from error
    return digest.hexdigest()


def _files_below(folder: Path) -> Iterator[str]:
    for place, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if name[0] != '.']
        for name in files:
            if name[0] != '.' and not name.endswith('.md'):
                yield (Path(place) / name).relative_to(folder).as_posix()


def _parts(path: Path, size: int) -> Iterator[bytes]:
    with open(path, 'rb') as file:
        if size <= _WHOLE:
            while chunk := file.read(_PART):
                yield chunk
            return
        for number in range(_PARTS):
            file.seek(number * (size - _PART) // (_PARTS - 1))
            yield file.read(_PART)


def scorer_fingerprint(
    model: torch.nn.Module, cfg: Config, pipeline: list[dict]
) -> str:
    """Fingerprint of all that decides an embedding.

    Args:
        model (nn.Module): The model with its weights.
        cfg (Config): Its config.
        pipeline (list[dict]): The transforms.

    Returns:
        str: 32 hexadecimal digits.
    """
    settings = map(_settings_text, (cfg.model, pipeline))
    return _digest('\n'.join([weights_fingerprint(model), *settings]))


def settings_fingerprint(*values: Any) -> str:
    """Fingerprint of models and pipelines that were built without a config.

    Args:
        *values: Such as modules, whose weights count, and transforms; see
            :func:`mmtpr.utils.plain_values.plain_value`.

    Returns:
        str: 32 hexadecimal digits.
    """
    modules = [v for v in values if isinstance(v, torch.nn.Module)]
    weights = map(weights_fingerprint, modules)
    return _digest('\n'.join([*weights, *map(_settings_text, values)]))


def _settings_text(value: Any) -> str:
    return json.dumps(plain_value(value), sort_keys=True)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=_SIZE).hexdigest()


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    for text in texts:
        chunk.append(text)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
