"""Short names for data, banks and models: equal content, equal name."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence

import torch

_SIZE = 16
_CHUNK = 2**14


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


def pair_fingerprint(paths: Sequence[str], captions: Iterable[str]) -> str:
    """Fingerprint of image-caption pairs, order included.

    Paths count from the deepest folder common to all of them, so that the
    fingerprint does not depend on where the data lie.

    Args:
        paths (Sequence[str]): Paths of the images.
        captions (Iterable[str]): One caption an image.

    Returns:
        str: 32 hexadecimal digits.
    """
    root = _common_folder(paths)
    names = (path[root:].replace('\\', '/') for path in paths)
    both = text_fingerprint(names) + text_fingerprint(captions)
    return hashlib.blake2b(both.encode(), digest_size=_SIZE).hexdigest()


def weights_fingerprint(module: torch.nn.Module) -> str:
    """Fingerprint of all parameters and buffers that a checkpoint holds.

    Args:
        module (nn.Module): The model.

    Returns:
        str: 32 hexadecimal digits.
    """
    digest = hashlib.blake2b(digest_size=_SIZE)
    for name, value in sorted(module.state_dict().items()):
        if not isinstance(value, torch.Tensor):
            digest.update(f'{name}={value!r};'.encode())
            continue
        value = value.detach().cpu().contiguous()
        digest.update(f'{name}:{value.dtype}:{tuple(value.shape)};'.encode())
        if value.numel():
            digest.update(value.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _common_folder(paths: Sequence[str]) -> int:
    """Length of the folder, with its slash, that all paths begin with."""
    if not paths:
        return 0
    low, high = min(paths), max(paths)
    length = min(len(low), len(high))
    same = next((i for i in range(length) if low[i] != high[i]), length)
    return max(low.rfind('/', 0, same), low.rfind('\\', 0, same)) + 1


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    for text in texts:
        chunk.append(text)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
