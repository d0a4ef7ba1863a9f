"""What came of a run: numbers, and histograms of the fields."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mmtpr.filtering.field_rule import FieldTerm
from mmtpr.filtering.report import roc_auc
from mmtpr.visualization.figure_files import save_figure

from ..stage_folder import StageFolder
from .score_table import ScoreTable

_BINS = 40
_WIDE = 3  # histograms in a row


def describe_rule(
    terms: Sequence[FieldTerm], table: ScoreTable, keep: np.ndarray
) -> dict[str, Any]:
    """Count what each term of a rule drops.

    Args:
        terms (Sequence[FieldTerm]): The rule.
        table (ScoreTable): Fields of N pairs.
        keep (ndarray): What the whole rule keeps, (N, ).

    Returns:
        dict[str, Any]: ``pairs``, ``kept``, and by term how many it drops and
        how many no other term drops.
    """
    masks = [term.mask(table.columns[term.field]) for term in terms]
    out = []
    for i, (term, mask) in enumerate(zip(terms, masks, strict=True)):
        others = [m for j, m in enumerate(masks) if j != i]
        rest = np.logical_and.reduce([np.ones(len(keep), bool), *others])
        out.append(
            dict(
                term=str(term),
                drops=int((~mask).sum()),
                drops_alone=int((rest & ~mask).sum()),
            )
        )
    return dict(pairs=len(keep), kept=int(keep.sum()), terms=out)


def describe_fields(table: ScoreTable) -> dict[str, Any]:
    """Describe the values of every field.

    Args:
        table (ScoreTable): Fields of N pairs.

    Returns:
        dict[str, Any]: By field: number, mean, quantiles and a histogram.
    """
    found: dict[str, Any] = {}
    for name, values in table.columns.items():
        known = _known(values)
        if not len(known):
            found[name] = dict(number=0)
            continue
        counts, edges = np.histogram(known, _edges(known))
        marks = np.quantile(known, (0.05, 0.25, 0.5, 0.75, 0.95))
        found[name] = dict(
            number=len(known),
            mean=float(known.mean()),
            quantiles=marks.tolist(),
            histogram=dict(counts=counts.tolist(), edges=edges.tolist()),
        )
    return found


def _known(values: np.ndarray) -> np.ndarray:
    """Finite values in float64: float32 has no edges between near ones."""
    return values[np.isfinite(values)].astype(np.float64)


def _edges(known: np.ndarray) -> np.ndarray:
    """Edges of the bins; one bin where values are too near for more."""
    try:
        return np.histogram_bin_edges(known, _BINS)
    except ValueError:
        return np.histogram_bin_edges(known, 1)


def faults_found(
    table: ScoreTable, keep: np.ndarray | None = None
) -> dict[str, Any]:
    """Measure fields on planted faults.

    Args:
        table (ScoreTable): Fields of N pairs, with the truth.
        keep (ndarray, optional): What a rule keeps, (N, ). Defaults to None.

    Returns:
        dict[str, Any]: By kind of fault: how many, how many the rule keeps,
        and the AUC of each field in telling it from pairs without a fault:
        1 if the field is always higher without. Empty where nobody knows
        the truth.
    """
    found: dict[str, Any] = {}
    for kind, name in enumerate(table.faults):
        if not name:
            continue
        bad = table.kinds == kind
        both = bad | (table.kinds == 0)
        if not bad.any() or not (table.kinds == 0).any():
            continue
        aucs = {}
        for field, values in table.columns.items():
            # What a judge could not tell is the worst there is.
            scores = np.nan_to_num(values[both], nan=-np.inf)
            aucs[field] = roc_auc(scores, bad[both])
        found[name] = dict(number=int(bad.sum()), auc=aucs)
        if keep is not None:
            found[name]['kept'] = int((bad & keep).sum())
    return found


def describe_stages(
    folders: dict[str, StageFolder], unreadable: dict[str, int]
) -> dict[str, Any]:
    """Collect what the stages before came to, and how they were set.

    Args:
        folders (dict[str, StageFolder]): By name.
        unreadable (dict[str, int]): By judge, pairs it could not read.

    Returns:
        dict[str, Any]: By name: settings, rows, kept, dropped by reason.
    """
    out = {}
    for name, folder in folders.items():
        summary = dict(folder.summary or {})
        out[name] = dict(summary, settings=folder.facts['settings'])
        if name in unreadable:
            out[name]['unreadable'] = unreadable[name]
    return out


def plot_fields(path: Path, table: ScoreTable, keep: np.ndarray) -> None:
    """Draw the histogram of every field, kept and dropped pairs apart.

    Args:
        path (Path): PNG file.
        table (ScoreTable): Fields of N pairs.
        keep (ndarray): What the rule keeps, (N, ).
    """
    names = list(table.columns)
    rows = -(-len(names) // _WIDE)
    size = (4 * _WIDE, 2.6 * max(1, rows))
    figure = Figure(figsize=size, layout='constrained')
    grid = figure.subplots(max(1, rows), _WIDE, squeeze=False)
    for axis in grid.flat[len(names) :]:
        axis.axis('off')
    for axis, name in zip(grid.flat, names, strict=False):
        values = table.columns[name]
        groups = [_known(values[keep]), _known(values[~keep])]
        edges = _edges(np.concatenate(groups))
        axis.hist(groups, edges, stacked=True, label=['kept', 'dropped'])
        axis.set(xlabel=name, ylabel='pairs')
    if names:
        grid.flat[0].legend()
    save_figure(path, figure, dpi=110)
