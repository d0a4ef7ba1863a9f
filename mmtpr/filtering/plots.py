"""Images of a report: a histogram, and the best and worst pairs."""

import os
import textwrap
from collections.abc import Sequence

import mmcv
import numpy as np
from matplotlib.figure import Figure

from mmtpr.visualization.figure_files import save_figure

from .scores import RelevanceScores

_COLUMNS = 6
_CAPTION_WIDTH = 26
_CAPTION_LINES = 7


def plot_histograms(
    path: str | os.PathLike,
    scores: RelevanceScores,
    max_ranks: Sequence[int] = (),
    kinds: np.ndarray | None = None,
    names: Sequence[str] = (),
) -> None:
    """Draw the distributions of ranks and relevances.

    Args:
        path (str | PathLike): PNG file.
        scores (RelevanceScores): Scores of N pairs.
        max_ranks (Sequence[int]): Thresholds to mark.
        kinds (np.ndarray, optional): Kind of each pair, drawn apart.
        names (Sequence[str]): Names of the kinds.
    """
    figure = Figure(figsize=(11, 4), layout='constrained')
    left, right = figure.subplots(1, 2)
    fine = np.isfinite(scores.score)
    kinds = np.zeros(len(scores), dtype=int) if kinds is None else kinds
    present = np.unique(kinds)
    labels = [names[k] if len(names) else 'pairs' for k in present]
    top = max(2, int(scores.rank.max(initial=2)))
    edges = np.geomspace(1, top + 1, 41)
    groups = [fine & (kinds == k) for k in present]
    left.hist(
        [scores.rank[g] for g in groups], edges, stacked=True, label=labels
    )
    left.set(xscale='log', xlabel='rank', ylabel='pairs')
    for limit in max_ranks:
        left.axvline(limit + 0.5, color='black', linestyle='--')
        left.annotate(
            f'{limit}',
            (limit + 0.5, 1),
            xycoords=('data', 'axes fraction'),
            ha='center',
            va='bottom',
        )
    right.hist(
        [scores.score[g] for g in groups], 60, stacked=True, label=labels
    )
    right.set(xlabel='relevance', ylabel='pairs')
    if len(present) > 1:
        right.legend()
    save_figure(path, figure)


def plot_pairs(
    path: str | os.PathLike,
    scores: RelevanceScores,
    paths: Sequence[str],
    captions: Sequence[str],
    count: int = _COLUMNS,
) -> None:
    """Draw the best and the worst pairs, image above caption.

    Args:
        path (str | PathLike): PNG file.
        scores (RelevanceScores): Scores of N pairs.
        paths (Sequence[str]): Paths of the images.
        captions (Sequence[str]): Captions.
        count (int): Pairs of either sort, at most. Defaults to 6.
    """
    order = np.lexsort((-scores.score, scores.rank))
    order = order[np.isfinite(scores.score[order])]
    count = max(1, min(count, len(order)))
    figure = Figure(figsize=(1.9 * count, 10.5), layout='constrained')
    grid = figure.subplots(
        4, count, squeeze=False, height_ratios=[3.5, 1.2] * 2
    )
    for axis in grid.flat:
        axis.axis('off')
    for row, name, chosen in (
        (0, 'best', order[:count]),
        (2, 'worst', order[::-1][:count]),
    ):
        for column, index in enumerate(chosen):
            image, text = grid[row : row + 2, column]
            image.imshow(mmcv.imread(paths[index], channel_order='rgb'))
            image.set_title(
                f'{name}: rank {scores.rank[index]}\n'
                f'relevance {scores.score[index]:.3f}',
                fontsize=9,
                color='green' if name == 'best' else 'red',
            )
            text.text(
                0.5,
                1,
                _wrap(captions[index]),
                ha='center',
                va='top',
                fontsize=7,
                parse_math=False,
            )
    save_figure(path, figure)


def _wrap(caption: str) -> str:
    return '\n'.join(
        textwrap.wrap(
            caption,
            _CAPTION_WIDTH,
            max_lines=_CAPTION_LINES,
            placeholder=' ...',
        )
    )
