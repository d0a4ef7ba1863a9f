"""Queries with faults as users send them, for tests of robustness."""

import zlib
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmtpr.registry import TRANSFORMS
from mmtpr.utils.numbers import is_whole
from mmtpr.utils.seeding import derive_seed

#: Kind -> strength at the severities 1, 2 and 3: deviation of noise in
#: 0..255, deviation of the blur in pixels of an image 384 high, quality of the
#: jpeg, share of the words with a typo.
STRENGTHS = dict(
    noise=(15.0, 30.0, 60.0),
    blur=(1.5, 3.0, 6.0),
    jpeg=(25, 12, 5),
    typos=(0.1, 0.2, 0.4),
)
#: Kinds that change the image; the others change the sentence.
IMAGE_KINDS = ('noise', 'blur', 'jpeg')
_EDITS = ('swap', 'drop', 'double', 'replace')
_ROWS = ('qwertyuiop', 'asdfghjkl', 'zxcvbnm')


@TRANSFORMS.register_module()
class CorruptQuery(BaseTransform):
    """Corrupt the image or the sentence of a query.

    Gallery items and training samples pass unchanged. What is drawn depends
    on ``seed``, the sample's number and its content, not on the order of
    samples or the number of processes; a higher severity is more of the same
    draw: the same noise, stronger, and the same typos with others.

    Place it behind the reader of the image inside ``mmtpr.ImageTransforms``,
    or, for typos, before the tokenizer.

    Required Keys: ``role``; ``img``, uint8, or ``caption``

    Modified Keys: ``img`` or ``caption``

    Args:
        kind (str): ``'noise'`` (Gaussian), ``'blur'`` (Gaussian), ``'jpeg'``
            (compression) or ``'typos'``. See :data:`STRENGTHS`.
        severity (int): 1, 2 or 3. Defaults to 2.
        seed (int): Defaults to 0.

    Raises:
        ValueError: If an argument is another one, or an image is not uint8.
    """

    def __init__(self, kind: str, severity: int = 2, seed: int = 0) -> None:
        if kind not in STRENGTHS:
            raise ValueError(
                f'kind of CorruptQuery must be one of {tuple(STRENGTHS)}, '
                f'got {kind!r}.'
            )
        is_known = is_whole(severity) and severity in (1, 2, 3)
        if not (is_known and is_whole(seed) and seed >= 0):
            raise ValueError(
                f'severity={severity!r} of CorruptQuery must be 1, 2 or 3, '
                f'and seed={seed!r} a whole number of at least 0.'
            )
        self.kind, self.severity, self.seed = kind, severity, seed
        self.strength: Any = STRENGTHS[kind][severity - 1]

    def transform(self, results: dict) -> dict:
        """Corrupt a query.

        Args:
            results (dict): A sample.

        Returns:
            dict: The sample.
        """
        if results.get('role') != 'query':
            return results
        key = 'img' if self.kind in IMAGE_KINDS else 'caption'
        value = results.get(key)
        if value is None:
            return results
        number = results.get('sample_idx') or 0
        if key == 'caption':
            rng = self._draw(value.encode('utf-8', 'replace'), number)
            return {**results, key: _with_typos(value, self.strength, rng)}
        images = value if isinstance(value, list) else [value]
        images = [self._corrupt(image, number) for image in images]
        return {
            **results,
            key: images if isinstance(value, list) else images[0],
        }

    def _draw(self, content: bytes, number: int) -> np.random.Generator:
        seed = derive_seed(self.seed, zlib.crc32(content), int(number))
        return np.random.default_rng(seed)

    def _corrupt(self, image: np.ndarray, number: int) -> np.ndarray:
        """An image (H, W, 3) or (H, W) of the same shape."""
        if image.dtype != np.uint8:
            raise ValueError(
                f'CorruptQuery takes images of uint8, got {image.dtype}: '
                'place it directly behind the reader.'
            )
        if self.kind == 'noise':
            rng = self._draw(image.tobytes(), number)
            noise = rng.standard_normal(image.shape, np.float32)
            noisy = image + self.strength * noise
            return noisy.round().clip(0, 255).astype(np.uint8)
        if self.kind == 'blur':
            sigma = self.strength * image.shape[0] / 384
            return cv2.GaussianBlur(image, (0, 0), sigma)
        quality = [cv2.IMWRITE_JPEG_QUALITY, self.strength]
        content = cv2.imencode('.jpg', image, quality)[1]
        flag = cv2.IMREAD_GRAYSCALE if image.ndim == 2 else cv2.IMREAD_COLOR
        decoded: Any = cv2.imdecode(content, flag)
        return decoded

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(kind={self.kind!r}, '
            f'severity={self.severity}, seed={self.seed})'
        )


def _with_typos(text: str, share: float, rng: np.random.Generator) -> str:
    """Misspell a share of the words, one at least; spaces stay."""
    words = text.split(' ')
    long = [i for i, word in enumerate(words) if _letters(word) >= 3]
    # All draws of all words, so that a larger share keeps those of a smaller.
    order = rng.permutation(len(long))
    draws = rng.random((len(long), 3))
    number = max(1, round(share * len(long))) if long else 0
    for place in order[:number]:
        words[long[place]] = _misspelt(words[long[place]], draws[place])
    return ' '.join(words)


def _letters(word: str) -> int:
    return sum(letter.isalpha() for letter in word)


def _misspelt(word: str, draws: np.ndarray) -> str:
    """One edit of a letter that is neither the first nor alone."""
    places = [i for i, letter in enumerate(word) if letter.isalpha()][1:]
    place = places[int(draws[0] * len(places))]
    edit = _EDITS[int(draws[1] * len(_EDITS))]
    left, letter, right = word[:place], word[place], word[place + 1 :]
    if edit == 'swap' and word[place - 1] != letter:
        return left[:-1] + letter + left[-1] + right
    if edit == 'drop':
        return left + right
    if edit == 'double':
        return left + letter + letter + right
    return left + _neighbour(letter, draws[2]) + right


def _neighbour(letter: str, draw: float) -> str:
    """A key beside that of a letter; an x for letters of other keyboards."""
    row = next((row for row in _ROWS if letter.lower() in row), '')
    if not row:
        return 'x' if letter != 'x' else 'z'
    place = row.index(letter.lower())
    beside = [row[i] for i in (place - 1, place + 1) if 0 <= i < len(row)]
    found = beside[int(draw * len(beside))]
    return found.upper() if letter.isupper() else found
