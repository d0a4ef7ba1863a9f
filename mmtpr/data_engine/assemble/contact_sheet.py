"""Contact sheets: pairs with their sentences and scores."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from mmtpr.visualization.figure_files import save_figure
from mmtpr.visualization.small_images import read_small

_COLUMNS = 4
_LINE = 46


@dataclass(frozen=True)
class SheetPair:
    """A pair as a sheet shows it.

    Attributes:
        reference (str): Path of the reference image.
        target (str): Path of the target image.
        sentence (str): What leads from one to the other.
        facts (str): Scores, or whatever else stands below.
        is_kept (bool): Whether the rule keeps it.
    """

    reference: str
    target: str
    sentence: str
    facts: str
    is_kept: bool


def draw_sheet(
    path: Path, title: str, pairs: Sequence[SheetPair], image_root: Path
) -> None:
    """Draw pairs, reference beside target, sentence and scores below.

    Args:
        path (Path): PNG file.
        title (str): Of the sheet.
        pairs (Sequence[SheetPair]): The pairs, not empty.
        image_root (Path): Folder of the images.
    """
    rows = -(-len(pairs) // _COLUMNS)
    figure = Figure(figsize=(4.1 * _COLUMNS, 4.6 * rows + 0.6))
    figure.suptitle(title, fontsize=13, y=1 - 0.25 / (4.6 * rows + 0.6))
    grid = figure.subplots(
        2 * rows,
        2 * _COLUMNS,
        squeeze=False,
        height_ratios=[3.4, 1.2] * rows,
    )
    for axis in grid.flat:
        axis.axis('off')
    for number, pair in enumerate(pairs):
        row, column = divmod(number, _COLUMNS)
        left = grid[2 * row, 2 * column]
        colour = 'tab:green' if pair.is_kept else 'tab:red'
        for axis, image_path, name in (
            (left, pair.reference, 'reference'),
            (grid[2 * row, 2 * column + 1], pair.target, 'target'),
        ):
            image = read_small(image_path, (256, 512), image_root)
            if image is not None:
                axis.imshow(image)
            axis.set_title(name, fontsize=8, color=colour)
        text = f'{_wrapped(pair.sentence)}\n{pair.facts}'
        grid[2 * row + 1, 2 * column].text(
            0, 1, text, va='top', fontsize=8, parse_math=False, clip_on=False
        )
    figure.subplots_adjust(
        left=0.02, right=0.98, bottom=0.01, top=0.94, wspace=0.08, hspace=0.1
    )
    save_figure(path, figure, dpi=90)


def _wrapped(sentence: str) -> str:
    lines = textwrap.wrap(sentence, _LINE, max_lines=3, placeholder=' ...')
    return '\n'.join(lines)
