"""Photos that users of a page bring."""

import hashlib
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from mmtpr.utils.images import image_problem

#: Formats that are taken, as Pillow names them.
FORMATS = ('JPEG', 'PNG', 'WEBP', 'BMP', 'TIFF')
#: Their endings, for the dialog that chooses a file.
ENDINGS = ('.jpg', '.jpeg', '.png', '.webp', '.bmp', '.tif', '.tiff')
#: Million pixels of a photo.
MOST_MEGAPIXELS = 50
#: Million bytes of its file.
MOST_MEGABYTES = 20


@dataclass(frozen=True)
class Reference:
    """The photo of a query.

    Attributes:
        path (str): The file.
        name (str | None): Its id, of an image of the gallery.
        sha256 (str | None): Hash of its content, of a photo that was brought.
    """

    path: str
    name: str | None = None
    sha256: str | None = None

    def to_dict(self) -> dict[str, str]:
        """Name the photo for others, without its path.

        Returns:
            dict[str, str]: ``id`` or ``sha256``.
        """
        if self.name is not None:
            return dict(id=self.name)
        return dict(sha256=str(self.sha256))


def check_photo(
    path: str | os.PathLike,
    megapixels: float = MOST_MEGAPIXELS,
    megabytes: float = MOST_MEGABYTES,
) -> Reference:
    """Check a photo that somebody brought.

    Its size is read from its head; only what is small enough is decoded.

    Args:
        path (str | PathLike): The file.
        megapixels (float): Million pixels it may have. Defaults to 50.
        megabytes (float): Million bytes it may have. Defaults to 20.

    Returns:
        Reference: The photo.

    Raises:
        ValueError: If it is too large, or no image of :data:`FORMATS`.
    """
    size = os.path.getsize(path) / 1e6
    if size > megabytes:
        raise ValueError(
            f'The photo has {size:,.1f} MB; at most {megabytes:,g} MB are '
            'taken. Make it smaller.'
        )
    try:
        with warnings.catch_warnings():
            # The check below has the last word.
            warnings.simplefilter('ignore', Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                pixels = image.width * image.height / 1e6
    except Image.DecompressionBombError:
        pixels = float('inf')
    except Exception:  # decoders raise whatever they like
        raise ValueError(
            'The file is no image that can be read. Choose a photo as '
            f'{", ".join(FORMATS)}.'
        ) from None
    if pixels > megapixels:
        has = f'{pixels:,.0f}' if pixels < float('inf') else 'far too many'
        raise ValueError(
            f'The photo has {has} megapixels; at most {megapixels:,g} are '
            'taken. Make it smaller.'
        )
    if problem := image_problem(path):
        raise ValueError(
            f'The photo cannot be read: {problem}. Choose another.'
        )
    content = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return Reference(str(path), sha256=content)
