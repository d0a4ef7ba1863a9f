"""Curves of several runs side by side, and the options of tools for them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmtpr.utils import require
from mmtpr.utils.errors import LaunchError
from mmtpr.utils.options import check_output

from .figure_files import save_figure

_FORMATS = ('.png', '.pdf')
_WIDTH, _HEIGHT = 4.8, 3.9
#: Up to so many points are marked one by one.
_MARKED = 60
_STYLES = ('-', '--', ':', '-.')


@dataclass
class Curve:
    """One line.

    Args:
        label (str): Name of the run.
        x (Sequence[float]): Where the points stand.
        y (Sequence[float]): Their values.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass
class Panel:
    """Curves that share their axes.

    Args:
        title (str): What is shown.
        xlabel (str): What x counts.
        curves (Sequence[Curve]): The curves.
        ylabel (str): What y counts. Defaults to '', as the title says.
        ylim (tuple[float, float], optional): Ends of y. Defaults to None, as
            the values are.
        counts (bool): Whether x are whole numbers. Defaults to True.
    """

    title: str
    xlabel: str
    curves: Sequence[Curve]
    ylabel: str = ''
    ylim: tuple[float, float] | None = None
    counts: bool = True


def check_figure(
    path: str, overwrite: bool, sources: Sequence[str | os.PathLike]
) -> None:
    """Check that a figure may be written, before the work is done.

    Args:
        path (str): The file.
        overwrite (bool): Whether an existing one may be replaced.
        sources (Sequence[str | PathLike]): Files that the tool reads.

    Raises:
        LaunchError: If not, or if its name has another ending.
    """
    if Path(path).suffix.lower() not in _FORMATS:
        raise LaunchError(
            f'"{path}": a figure is written to {" or ".join(_FORMATS)}.'
        )
    check_output(path, overwrite, sources)


def name_runs(
    paths: Sequence[str], labels: Sequence[str] | None = None
) -> list[str]:
    """Name runs for a legend.

    Args:
        paths (Sequence[str]): Where each was read.
        labels (Sequence[str], optional): Names that the user gives.

    Returns:
        list[str]: Those, or the last parts of the paths where they differ,
        else the paths.

    Raises:
        LaunchError: If there are more or fewer labels than runs, or two are
            equal.
    """
    if labels is None:
        short = [Path(path).resolve().stem for path in paths]
        labels = short if len({*short}) == len(short) else paths
    if len(labels) != len(paths):
        raise LaunchError(
            f'--labels gives {len(labels)} names for {len(paths)} runs.'
        )
    twice = [label for label in labels if list(labels).count(label) > 1]
    if twice:
        raise LaunchError(f'Two runs are named "{twice[0]}"; give --labels.')
    return list(labels)


def draw_panels(panels: Sequence[Panel], path: str | os.PathLike) -> None:
    """Draw panels side by side, three in a row, with one legend.

    Args:
        panels (Sequence[Panel]): What to draw.
        path (str | PathLike): A .png or .pdf file, whole or not at all.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    figures = require('matplotlib.figure', 'openmmlab', 'Drawing curves')
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = figures.Figure(
        figsize=(_WIDTH * columns, _HEIGHT * rows), layout='constrained'
    )
    grid = figure.subplots(rows, columns, squeeze=False).flat
    # A run looks the same in all panels.
    labels = dict.fromkeys(c.label for p in panels for c in p.curves)
    styles = {
        label: dict(color=f'C{i % 10}', linestyle=_STYLES[i // 10 % 4])
        for i, label in enumerate(labels)
    }
    lines: dict[str, Any] = {}
    for axis, panel in zip(grid, panels, strict=False):
        for curve in panel.curves:
            (lines[curve.label],) = axis.plot(
                curve.x,
                curve.y,
                marker='.' if len(curve.x) <= _MARKED else None,
                **styles[curve.label],
            )
        axis.set(title=panel.title, xlabel=panel.xlabel, ylabel=panel.ylabel)
        if panel.ylim:
            axis.set(ylim=panel.ylim)
        axis.xaxis.get_major_locator().set_params(integer=panel.counts)
        axis.grid(alpha=0.3)
    for axis in grid[len(panels) :]:
        axis.axis('off')
    figure.legend(
        [*lines.values()],
        # Not as formulae, and not left out where they begin with "_".
        [label.replace('$', r'\$') for label in lines],
        loc='outside lower center',
        ncols=min(4, len(lines)),
    )
    save_figure(path, figure)
