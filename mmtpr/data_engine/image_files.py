"""Images of pairs, in folders that file systems can hold."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from mmtpr.utils import atomic_write

#: Files of a folder at most.
MOST_FILES = 10_000
SIDES = ('reference', 'target')


class ImageFiles:
    """Images of the pairs of a run, as JPEG.

    Args:
        folder (Path): The folder of all.
        per_record (int): Pairs of a record.
        quality (int): Of the JPEG files, 1 to 100. Defaults to 95.
    """

    def __init__(
        self, folder: Path, per_record: int, quality: int = 95
    ) -> None:
        self.folder, self.quality = Path(folder), quality
        self._records = max(1, MOST_FILES // (len(SIDES) * per_record))

    def name(self, key: str, index: int, side: str) -> str:
        """Name the file of an image.

        Args:
            key (str): Of the pair.
            index (int): Of the record.
            side (str): ``'reference'`` or ``'target'``.

        Returns:
            str: Path below the folder, with ``/``.
        """
        return f'{index // self._records:05d}/{key}_{side}.jpg'

    def write(self, name: str, image: np.ndarray) -> None:
        """Write an image, whole or not at all.

        Args:
            name (str): Of :meth:`name`.
            image (ndarray): RGB image, (H, W, 3), uint8.

        Raises:
            LaunchError: If the disk is full.
        """
        content = io.BytesIO()  # so that an error of the disk is one
        Image.fromarray(image).save(
            content, format='JPEG', quality=self.quality, subsampling=0
        )
        with atomic_write(self.folder / name) as file:
            file.write(content.getbuffer())
