"""Which pairs a contact sheet shows, and what of them."""

from collections.abc import Sequence

import numpy as np

from mmtpr.filtering.field_rule import FieldTerm

from ..block_files import Row
from .contact_sheet import SheetPair
from .score_table import ScoreTable


def choose_sheets(
    terms: Sequence[FieldTerm],
    table: ScoreTable,
    keep: np.ndarray,
    sheet_pairs: int,
) -> dict[str, list[int]]:
    """Choose the pairs of each contact sheet.

    Args:
        terms (Sequence[FieldTerm]): The rule.
        table (ScoreTable): Fields of N pairs.
        keep (ndarray): What the rule keeps, (N, ).
        sheet_pairs (int): Pairs of a sheet at most.

    Returns:
        dict[str, list[int]]: Indices of pairs by name: ``best``,
        ``borderline``, ``worst``.
    """
    qualities = [t.quality(table.columns[t.field]) for t in terms]
    quality = np.mean(qualities, 0)  # (N, )
    order = np.argsort(-quality, kind='stable')
    number = min(sheet_pairs, len(order))
    kept, dropped = order[keep[order]], order[~keep[order]]
    half = -(-number // 2)
    chosen = dict(
        best=kept[:number],
        borderline=np.concatenate([kept[-half:], dropped[:half]]),
        worst=(dropped if len(dropped) else kept)[::-1][:number],
    )
    return {name: indices.tolist() for name, indices in chosen.items()}


def sheet_pair(
    terms: Sequence[FieldTerm],
    table: ScoreTable,
    index: int,
    record: Row,
    pair: Row,
    is_kept: bool,
) -> SheetPair:
    """Collect what a sheet shows of a pair.

    Args:
        terms (Sequence[FieldTerm]): The rule.
        table (ScoreTable): Fields of N pairs.
        index (int): Of the pair in the table.
        record (dict): Of the first stage.
        pair (dict): Of the second.
        is_kept (bool): Whether the rule keeps it.

    Returns:
        SheetPair: Images, sentence, and the values of the fields.
    """
    facts = [
        f'{term.field} {table.columns[term.field][index]:.3g}'
        for term in terms
    ]
    if table.faults:
        facts.append(f'planted: {table.faults[table.kinds[index]] or "none"}')
    return SheetPair(
        pair['reference_image'],
        pair['target_image'],
        record['edit'],
        '\n'.join(facts),
        is_kept,
    )
