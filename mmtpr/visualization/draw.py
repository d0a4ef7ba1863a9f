"""Draw ranked lists: a sentence, its images in green and red frames."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmtpr.structures.image_paths import image_paths
from mmtpr.structures.negatives import words_of
from mmtpr.utils import atomic_write

from .small_images import read_small

# What Pillow draws with, with or without FreeType.
_Font = ImageFont.ImageFont | ImageFont.FreeTypeFont

_INK = (31, 35, 40)
_FAINT = (101, 109, 118)
_PAPER = (255, 255, 255)


@dataclass(frozen=True)
class Layout:
    """Sizes in pixels and colours.

    Args:
        width (int): Of an image, without its frame. Defaults to 96.
        height (int): Of an image, without its frame. Defaults to 240.
        frame (int): Thickness of a frame. Defaults to 5.
        gap (int): Between cells. Defaults to 8.
        margin (int): Around a row. Defaults to 14.
        font_size (int): Of the sentence. Defaults to 15.
        right (tuple[int, int, int]): Frame of a right item, RGB.
        wrong (tuple[int, int, int]): Frame of a wrong item, RGB.
        unknown (tuple[int, int, int]): Frame where the truth is not known,
            and of a reference image, RGB.
    """

    width: int = 96
    height: int = 240
    frame: int = 5
    gap: int = 8
    margin: int = 14
    font_size: int = 15
    right: tuple[int, int, int] = (26, 148, 60)
    wrong: tuple[int, int, int] = (214, 40, 40)
    unknown: tuple[int, int, int] = (140, 149, 159)

    @property
    def cell(self) -> tuple[int, int]:
        """Width and height of a framed image."""
        return self.width + 2 * self.frame, self.height + 2 * self.frame

    @property
    def label(self) -> int:
        """Height of the line below an image."""
        return round(1.5 * self.font_size)

    def left_of(self, column: int) -> int:
        """Left edge of a cell.

        Args:
            column (int): From 0.

        Returns:
            int: Pixels from the left of the image.
        """
        return self.margin + column * (self.cell[0] + self.gap)

    def row_width(self, columns: int) -> int:
        """Width of a row.

        Args:
            columns (int): Number of cells.

        Returns:
            int: Pixels.
        """
        return self.left_of(columns) - self.gap + self.margin


def draw_rankings(
    queries: Sequence[dict],
    topk: int = 10,
    image_root: str | os.PathLike | None = None,
    layout: Layout | None = None,
) -> np.ndarray:
    """Draw ranked lists, one below the other.

    Args:
        queries (Sequence[dict]): As :func:`read_ranking` gives them:
            ``caption`` (str or None), ``ranking`` (a list of dicts with
            ``img_path``, and optionally ``score`` and ``correct``), and
            optionally ``index``, ``first_rank``, ``negative_text`` and
            ``img_path``, a reference image that is drawn in front.
        topk (int): Images in a row at most. Defaults to 10.
        image_root (str | PathLike, optional): Folder for relative paths.
        layout (Layout, optional): Sizes and colours.

    Returns:
        ndarray: Image of shape (H, W, 3), RGB, uint8. One that cannot be
        read is drawn as an empty cell with its name.

    Raises:
        ValueError: If there are no queries.
    """
    if not queries:
        raise ValueError('There are no queries to draw.')
    layout = layout or Layout()
    reference = any(query.get('img_path') for query in queries)
    longest = max(len(query['ranking'][:topk]) for query in queries)
    columns = max(1, longest) + reference
    width = max(layout.row_width(columns), 30 * layout.font_size)
    rows = [
        _draw_row(query, topk, reference, width, image_root, layout)
        for query in queries
    ]
    return np.concatenate(rows)


def save_png(image: np.ndarray, path: str | os.PathLike) -> None:
    """Write an image as PNG; the file appears whole or not at all.

    Args:
        image (ndarray): Of shape (H, W, 3), RGB, uint8.
        path (str | PathLike): The file.
    """
    with atomic_write(path) as file:
        Image.fromarray(image).save(file, format='PNG')


def _draw_row(
    query: dict,
    topk: int,
    reference: bool,
    width: int,
    image_root: str | os.PathLike | None,
    layout: Layout,
) -> np.ndarray:
    """One query: heading, sentence, images, labels."""
    font = _font(layout.font_size)
    small = _font(round(0.8 * layout.font_size))
    lines = wrap(words_of(query), font, width - 2 * layout.margin)
    step = round(1.35 * layout.font_size)
    top = layout.margin + step * (1 + len(lines)) + layout.gap
    height = top + layout.cell[1] + layout.label + layout.margin // 2
    canvas = Image.new('RGB', (width, height), _PAPER)
    pen = ImageDraw.Draw(canvas)
    corner = (layout.margin, layout.margin)
    pen.text(corner, _heading(query), fill=_FAINT, font=small)
    for number, line in enumerate(lines, 1):
        place = (layout.margin, layout.margin + number * step)
        pen.text(place, line, fill=_INK, font=font)
    if reference and query.get('img_path'):
        cell = dict(img_path=image_paths(query['img_path'])[0])
        box = (layout.left_of(0), top)
        _draw_cell(canvas, box, cell, 'reference', image_root, layout)
    for rank, item in enumerate(query['ranking'][:topk], 1):
        score = item.get('score')
        label = f'{rank}' if score is None else f'{rank}   {score:.3f}'
        box = (layout.left_of(rank - 1 + reference), top)
        _draw_cell(canvas, box, item, label, image_root, layout)
    return np.asarray(canvas)


def _heading(query: dict) -> str:
    parts = ['query' if 'index' not in query else f'query {query["index"]}']
    if query.get('id') is not None:
        parts.append(f'id {query["id"]}')
    if query.get('first_rank'):
        parts.append(f'first match at rank {query["first_rank"]}')
    return '  ·  '.join(parts)


def _draw_cell(
    canvas: Image.Image,
    corner: tuple[int, int],
    item: dict,
    label: str,
    image_root: str | os.PathLike | None,
    layout: Layout,
) -> None:
    """A framed image with a line below."""
    left, top = corner
    width, height = layout.cell
    pen = ImageDraw.Draw(canvas)
    colours = {True: layout.right, False: layout.wrong}
    correct: Any = item.get('correct')
    colour = colours.get(correct, layout.unknown)
    box = (left, top, left + width - 1, top + height - 1)
    pen.rectangle(box, fill=_PAPER, outline=colour, width=layout.frame)
    small = _font(round(0.8 * layout.font_size))
    crop = read_small(
        item.get('img_path'), (layout.width, layout.height), image_root
    )
    inner = (left + layout.frame, top + layout.frame)
    if crop is None:
        name = Path(str(item.get('img_path'))).name
        lines = []
        for word in ('unreadable', name):
            lines.extend(_break(word, small, layout.width - 4))
        room = (layout.height - 8) // layout.label
        for number, line in enumerate(lines[:room]):
            place = (inner[0] + 2, inner[1] + 4 + number * layout.label)
            pen.text(place, line, fill=_FAINT, font=small)
    else:
        canvas.paste(
            crop,
            (
                inner[0] + (layout.width - crop.width) // 2,
                inner[1] + (layout.height - crop.height) // 2,
            ),
        )
    place = (left + width // 2, top + height + layout.label // 2)
    pen.text(place, label, fill=_INK, font=small, anchor='mm')


def wrap(text: str, font: _Font, width: int) -> list[str]:
    """Break a sentence into lines.

    Args:
        text (str): The sentence.
        font (ImageFont): Its font.
        width (int): Pixels a line may take.

    Returns:
        list[str]: The lines; a word that is too long is broken.
    """
    lines: list[str] = []
    for word in text.split():
        longer = f'{lines[-1]} {word}' if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.extend(_break(word, font, width))
    return lines


def _break(word: str, font: _Font, width: int) -> list[str]:
    pieces = ['']
    for letter in word:
        if pieces[-1] and font.getlength(pieces[-1] + letter) > width:
            pieces.append('')
        pieces[-1] += letter
    return pieces


@lru_cache(maxsize=8)
def _font(size: int) -> _Font:
    """DejaVu Sans, which matplotlib brings along everywhere."""
    from matplotlib import get_data_path

    path = Path(get_data_path(), 'fonts/ttf/DejaVuSans.ttf')
    if path.is_file():
        return ImageFont.truetype(str(path), size)
    return ImageFont.load_default(size)
