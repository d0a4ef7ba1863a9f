"""Images of a gallery: those of a folder, or a list of paths."""

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mmengine.logging import print_log

#: Endings of the files that count as images in a folder.
EXTENSIONS = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff')
#: Endings of images that the loader does not read everywhere.
_OTHERS = (
    *('.gif', '.avif', '.heic', '.heif', '.jp2', '.jxl', '.jfif', '.svg'),
    *('.raw', '.dng', '.psd', '.ppm', '.pgm'),
)


def list_images(gallery: str | os.PathLike | Sequence[str]) -> list[str]:
    """List the images of a gallery.

    A WARNING counts the files of a folder that are images of other formats.

    Args:
        gallery (str | PathLike | Sequence[str]): A folder, searched with its
            subfolders, linked ones too, or paths of images.

    Returns:
        list[str]: Paths; those of a folder are sorted, and links to nothing
        are among them.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If there are no images, or an item is no path.
    """
    others: Counter = Counter()
    if not isinstance(gallery, str | os.PathLike | Iterable) or isinstance(
        gallery, bytes
    ):
        raise ValueError(
            f'The gallery is a folder or a list of paths, got {gallery!r}.'
        )
    if not isinstance(gallery, str | os.PathLike):
        listed = list(gallery)
        for index, path in enumerate(listed):
            if not isinstance(path, str | os.PathLike):
                raise ValueError(
                    f'Item {index} of the gallery is {path!r}, not a path.'
                )
        paths = [os.fspath(path) for path in listed]
    elif Path(gallery).is_dir():
        files = sorted(_files(os.fspath(gallery)))
        paths = [path for path in files if _ending(path) in EXTENSIONS]
        others.update(e for e in map(_ending, files) if e in _OTHERS)
    else:
        raise FileNotFoundError(
            f'The gallery "{gallery}" is not a folder. Give a folder of '
            'images or a list of their paths.'
        )
    told = ', '.join(f'{number} {end}' for end, number in others.most_common())
    if not paths:
        raise ValueError(
            f'The gallery {gallery!r} holds no images. In a folder, files '
            f'ending in {", ".join(EXTENSIONS)} count'
            f'{f"; there are {told}: convert them" if told else ""}.'
        )
    if told:
        print_log(
            f'{sum(others.values())} files of the gallery "{gallery}" are '
            f'left out for their format ({told}). Convert them to .jpg.',
            logger='current',
            level=logging.WARNING,
        )
    return paths


def _ending(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _files(folder: str) -> Iterator[str]:
    """All files below a folder; each folder once, whatever links to it."""
    seen = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        place = os.stat(root)
        if (place.st_dev, place.st_ino) in seen:
            folders.clear()  # a link back up, or to a folder met before
            continue
        seen.add((place.st_dev, place.st_ino))
        folders.sort()
        yield from (os.path.join(root, name) for name in names)
