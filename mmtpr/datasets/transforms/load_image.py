"""Reading images with the quick ways of decoding jpegs."""

from functools import lru_cache
from typing import Any

import cv2
import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine import fileio

from mmtpr.registry import TRANSFORMS
from mmtpr.utils.lazy import require
from mmtpr.utils.warn import warn

_TURBO = 'turbojpeg'
#: OpenCV's flags by the fraction of the size that they decode at.
_REDUCED = {
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_START, _SCAN, _APP1 = 0xD8, 0xDA, 0xE1
#: Markers of jpeg that begin a frame, whose size they tell.
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """Read an image as mmcv does, with two ways to save time on jpegs.

    With neither it gives what ``LoadImageFromFile`` gives, bit for bit. Both
    change pixels a little and so are options: a model should be tested as it
    was trained. Images that are no colour jpegs, or carry EXIF data, which
    may turn them, are decoded in the plain way.

    Required Keys: ``img_path``

    Added Keys: ``img``, ``img_shape``, ``ori_shape``

    Args:
        imdecode_backend (str): ``'turbojpeg'`` decodes with PyTurboJPEG,
            which the extra ``[turbojpeg]`` and the library libturbojpeg of
            the system bring. Without them one line of the log says so, and
            OpenCV decodes. Defaults to ``'cv2'``.
        reduce_to (tuple[int, int], optional): Width and height that are
            needed. A jpeg of at least twice, four or eight times both is
            decoded at 1/2, 1/4 or 1/8 of its size. Defaults to None.
        **kwargs: Further arguments of ``LoadImageFromFile``.
    """

    def __init__(
        self,
        imdecode_backend: str = 'cv2',
        reduce_to: tuple[int, int] | None = None,
        **kwargs,
    ) -> None:
        if imdecode_backend == _TURBO and _turbo_decoder() is None:
            imdecode_backend = 'cv2'
        super().__init__(imdecode_backend=imdecode_backend, **kwargs)
        self.reduce_to = reduce_to and (reduce_to[0], reduce_to[1])

    def transform(self, results: dict) -> dict | None:
        """Read the image.

        Args:
            results (dict): A sample.

        Returns:
            dict | None: The sample; None for what cannot be read where
            ``ignore_empty`` says so.
        """
        is_plain = self.imdecode_backend != _TURBO and not self.reduce_to
        if is_plain or self.color_type != 'color':
            return super().transform(results)
        try:
            content = fileio.get(results['img_path'], self.backend_args)
            img, size = self._decode(content)
        except Exception:
            if self.ignore_empty:
                return None
            raise
        if self.to_float32:
            img = img.astype(np.float32)
        results.update(img=img, img_shape=img.shape[:2], ori_shape=size)
        return results

    def _decode(self, content: bytes) -> tuple[np.ndarray, tuple[int, int]]:
        """Decode; gives the image and its height and width in the file."""
        size = jpeg_size(content)
        if size is not None:
            part = self._part(*size)
            img = None
            if self.imdecode_backend == _TURBO:
                img = _decode_turbo(content, part)
            elif part > 1:
                values = np.frombuffer(content, np.uint8)
                img = cv2.imdecode(values, _REDUCED[part])
            if img is not None:
                return img, size
        img = mmcv.imfrombytes(content, backend=self._other_backend())
        if img is None:
            raise ValueError('The image does not decode.')
        return img, img.shape[:2]

    def _other_backend(self) -> str:
        backend = self.imdecode_backend
        return 'cv2' if backend == _TURBO else backend

    def _part(self, height: int, width: int) -> int:
        """Largest of 8, 4, 2 and 1 by which both sides may be divided."""
        if not self.reduce_to:
            return 1
        needed_width, needed_height = self.reduce_to
        room = min(width // needed_width, height // needed_height)
        return next((part for part in (8, 4, 2) if part <= room), 1)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(reduce_to={self.reduce_to}, '
            f'imdecode_backend={self.imdecode_backend!r}, '
            f'color_type={self.color_type!r}, '
            f'backend_args={self.backend_args})'
        )


def jpeg_size(content: bytes) -> tuple[int, int] | None:
    """Read the size of a jpeg from its header.

    Args:
        content (bytes): The file.

    Returns:
        tuple[int, int] | None: Height and width; None for whatever is not a
        jpeg, is cut off before its pixels, or has EXIF data.
    """
    if content[:2] != bytes((0xFF, _START)):
        return None
    place, size = 2, None
    while content[place : place + 1] == b'\xff':
        marker = content[place + 1] if place + 1 < len(content) else 0
        if marker == 0xFF:  # between segments as many as one likes
            place += 1
            continue
        if marker == _SCAN:
            return size
        start = place + 4
        length = int.from_bytes(content[place + 2 : start], 'big')
        if length < 2:
            return None
        if marker == _APP1 and content[start : start + 4] == b'Exif':
            return None
        if marker in _FRAMES:
            sides = content[start + 1 : start + 5]
            height = int.from_bytes(sides[:2], 'big')
            size = height, int.from_bytes(sides[2:], 'big')
        place += 2 + length
    return None


@lru_cache(maxsize=1)
def _turbo_decoder() -> Any:
    """The decoder of PyTurboJPEG; None, with a line of log, without it."""
    try:
        turbojpeg = require(_TURBO, _TURBO, 'Decoding with turbojpeg')
        return turbojpeg.TurboJPEG(), turbojpeg.TJPF_BGR
    except ImportError as error:
        reason = str(error)
    except Exception as error:  # the library of the system: absent, too old
        reason = f'libturbojpeg cannot be loaded ({error})'.splitlines()[0]
    warn(f'{reason}. OpenCV decodes the images instead.')
    return None


def _decode_turbo(content: bytes, part: int) -> np.ndarray | None:
    """Decode at a part of the size; None where OpenCV should try."""
    found = _turbo_decoder()
    if found is None:  # in a process of its own, on another machine
        return None
    decoder, pixel_format = found
    try:
        return decoder.decode(content, pixel_format, (1, part))
    except Exception:  # such as CMYK, or a file that is cut off
        return None
