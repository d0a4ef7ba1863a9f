"""Images read for figures and pages, small."""

import os
import warnings
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from mmtpr.utils.images import image_problem, read_remote
from mmtpr.utils.warn import warn


def read_small(
    path: str | None,
    size: tuple[int, int],
    image_root: str | os.PathLike | None = None,
) -> Image.Image | None:
    """Read an image and scale it to fit, upright and in its proportions.

    Args:
        path (str | None): The file, or its address.
        size (tuple[int, int]): Width and height to fit into.
        image_root (str | PathLike, optional): Folder for relative paths.

    Returns:
        Image | None: RGB, with nothing of what the file holds besides, such
        as the place where a photo was taken; None with a line in the log if
        it cannot be read.
    """
    if path is None:
        return None
    remote = '://' in path
    full = path if remote else str(Path(image_root or '.', path))
    try:
        with warnings.catch_warnings():
            # Large photos of one's own gallery are no attack.
            warnings.simplefilter('ignore', Image.DecompressionBombWarning)
            source = BytesIO(read_remote(path)) if remote else full
            with Image.open(source) as image:
                # Of JPEG no more is decoded than is needed.
                image.draft('RGB', (2 * size[0], 2 * size[1]))
                upright = ImageOps.exif_transpose(image)
                return _fit(upright.convert('RGB'), *size)
    except (
        Image.DecompressionBombError,
        OSError,
        SyntaxError,
        UnidentifiedImageError,
        ValueError,
    ) as error:
        reason = ('' if remote else image_problem(full)) or error
        warn(f'The image "{full}" cannot be drawn: {reason}')
        return None


def _fit(image: Image.Image, width: int, height: int) -> Image.Image:
    ratio = min(width / image.width, height / image.height)
    size = (
        max(1, round(ratio * image.width)),
        max(1, round(ratio * image.height)),
    )
    small = image.resize(size, Image.Resampling.LANCZOS)
    # Where and when it was taken goes into no page: who saves an image may
    # write what its file told besides.
    small.info = {}
    return small
