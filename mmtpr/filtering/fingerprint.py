"""A short name for image-caption pairs: equal content, equal name."""

import hashlib
from collections.abc import Iterable, Sequence

from mmtpr.utils.fingerprint import text_fingerprint


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
    return hashlib.blake2b(both.encode(), digest_size=16).hexdigest()


def _common_folder(paths: Sequence[str]) -> int:
    """Length of the folder, with its slash, that all paths begin with."""
    if not paths:
        return 0
    low, high = min(paths), max(paths)
    length = min(len(low), len(high))
    same = next((i for i in range(length) if low[i] != high[i]), length)
    return max(low.rfind('/', 0, same), low.rfind('\\', 0, same)) + 1
