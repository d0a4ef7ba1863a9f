"""The last stage: a rule turns judged pairs into files of triplets."""

import json
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

from mmtpr.filtering.field_rule import check_fields, parse_rule, rule_mask
from mmtpr.filtering.triplet_scores import save_triplet_scores
from mmtpr.structures.pairs import triplet_fingerprint
from mmtpr.utils import atomic_write
from mmtpr.utils.errors import LaunchError
from mmtpr.utils.plain_values import plain_value

from ..stage_folder import StageFolder
from .contact_sheet import SheetPair, draw_sheet
from .report import (
    describe_fields,
    describe_rule,
    describe_stages,
    faults_found,
    plot_fields,
)
from .score_table import ScoreTable, read_pairs_of, read_table
from .shards import require_webdataset, write_shards
from .triplet_files import (
    ALL,
    TRAIN,
    VAL,
    TextSpool,
    triplet_file,
    triplets_of,
    val_records,
)

#: What is written beside files of triplets.
SCORES, REPORT = 'triplet_scores.npz', 'report.json'
#: What tells a triplet from others.
_TOLD = ('reference_image_path', 'target_image_path', 'edit_caption')
_SHEETS = ('best', 'borderline', 'worst')


@dataclass
class Assembly:
    """How pairs become triplets.

    Args:
        rule (list[dict]): Terms, joined by and; see ``parse_rule``. Fields
            are ``JUDGE.FIELD``.
        val_share (float): Share of the records whose triplets are val.
            Defaults to 0.02.
        seed (int): Of the cut. Defaults to 0.
        write_all (bool): Whether also to write all triplets of train with
            their scores, for ``mmtpr.TripletFilteredDataset``. Defaults to
            True.
        sheet_pairs (int): Pairs on a contact sheet. Defaults to 12.
        shard_pairs (int, optional): Pairs of a shard of WebDataset, which
            are written into ``webdataset/shards``. Defaults to None: none.
    """

    rule: Any
    val_share: float = 0.02
    seed: int = 0
    write_all: bool = True
    sheet_pairs: int = 12
    shard_pairs: int | None = None

    def __post_init__(self) -> None:
        self.terms = parse_rule(self.rule)
        if not 0 <= self.val_share < 1:
            raise ValueError(
                'assemble.val_share must be from 0 to below 1, got '
                f'{self.val_share}.'
            )
        if self.sheet_pairs < 1:
            raise ValueError('assemble.sheet_pairs must be at least 1.')
        if self.shard_pairs is not None:
            if not isinstance(self.shard_pairs, int) or self.shard_pairs < 1:
                raise ValueError(
                    'assemble.shard_pairs must be a whole number of at least '
                    f'1, got {self.shard_pairs!r}.'
                )
            require_webdataset()  # now, not after an hour


def assemble(
    assembly: Assembly,
    write: StageFolder,
    render: StageFolder,
    judges: Mapping[str, StageFolder],
    out: Path,
) -> dict[str, Any]:
    """Write triplets, a report and contact sheets.

    Images stay where they are. The same call writes the same files.

    Args:
        assembly (Assembly): How.
        write (StageFolder): The records.
        render (StageFolder): The pairs.
        judges (Mapping[str, StageFolder]): Scores by name of the judge.
        out (Path): Where to.

    Returns:
        dict[str, Any]: The report.

    Raises:
        LaunchError: If a stage is not done or of another run, the rule keeps
            nothing, or the disk is full.
        ValueError: If the rule names a field that no judge wrote.
    """
    write.check_done()
    render.check_done()
    if write.facts['id'] not in render.facts['sources']:
        raise LaunchError(
            f'The pairs in "{render.folder}" were rendered from records of '
            f'another run than "{write.folder}".'
        )
    table = read_table(render, judges)
    check_fields(assembly.terms, list(table.columns), f'"{render.folder}"')
    keep = rule_mask(assembly.terms, table.columns)
    if not keep.any():
        raise LaunchError(
            f'The rule {", ".join(map(str, assembly.terms))} keeps none of '
            f'{len(table):,} pairs. {_nearest(assembly, table)}'
        )
    kept = table.keys[keep, 0]
    val = val_records(kept, assembly.val_share, assembly.seed)
    counts = _write_triplets(write, render, keep, val, out)
    # Each direction of a record is a group.
    counts['train_groups'] = 2 * (len(np.unique(kept)) - len(val))
    counts['val_groups'] = 2 * len(val)
    if assembly.write_all:
        counts |= _write_all(write, render, table, val, out)
    folders = dict(write=write, render=render)
    folders |= {f'judge {k}': v for k, v in judges.items()}
    unreadable = {f'judge {k}': n for k, n in table.unreadable.items()}
    report = dict(
        image_root=str(render.folder / 'images'),
        triplets=counts,
        rule=describe_rule(assembly.terms, table, keep),
        assembly=plain_value(
            {k: v for k, v in vars(assembly).items() if k != 'terms'}
        ),
        planted_faults=faults_found(table, keep),
        stages=describe_stages(folders, unreadable),
        fields=describe_fields(table),
    )
    with atomic_write(out / REPORT, 'w') as file:
        json.dump(report, file, indent=2)
    plot_fields(out / 'fields.png', table, keep)
    _draw_sheets(assembly, write, render, table, keep, out)
    print_log(
        f'assemble: kept {int(keep.sum()):,} of {len(table):,} pairs, '
        f'{counts["train"]:,} triplets of train and {counts["val"]:,} of val '
        f'in "{out}".',
        logger='current',
    )
    if assembly.shard_pairs:
        write_shards(out, render.folder / 'images', assembly.shard_pairs)
    return report


def _write_triplets(
    write: StageFolder,
    render: StageFolder,
    keep: np.ndarray,
    val: set[int],
    out: Path,
) -> dict[str, int]:
    with triplet_file(out / TRAIN) as train, triplet_file(out / VAL) as held:
        pairs = zip(keep, read_pairs_of(write, render), strict=True)
        for is_kept, (record, pair) in pairs:
            if not is_kept:
                continue
            file = held if record['index'] in val else train
            for triplet in triplets_of(record, pair):
                file.add(triplet)
        return dict(train=train.length, val=held.length)


def _write_all(
    write: StageFolder,
    render: StageFolder,
    table: ScoreTable,
    val: set[int],
    out: Path,
) -> dict[str, int]:
    """All triplets of train with their scores, for a rule of another day."""
    with ExitStack() as stack:
        file = stack.enter_context(triplet_file(out / ALL))
        texts = [stack.enter_context(closing(TextSpool(out))) for _ in _TOLD]
        for record, pair in read_pairs_of(write, render):
            if record['index'] in val:
                continue
            for triplet in triplets_of(record, pair):
                file.add(triplet)
                for spool, key in zip(texts, _TOLD, strict=True):
                    spool.add(triplet[key])
        fingerprint = triplet_fingerprint(*texts)
    shown = ~np.isin(table.keys[:, 0], list(val))
    save_triplet_scores(
        out / SCORES,
        # Both directions of a pair have its scores.
        {k: v[shown].repeat(2) for k, v in table.columns.items()},
        fingerprint,
        dict(fields=sorted(table.columns)),
    )
    return dict(all=file.length)


def _draw_sheets(
    assembly: Assembly,
    write: StageFolder,
    render: StageFolder,
    table: ScoreTable,
    keep: np.ndarray,
    out: Path,
) -> None:
    qualities = [t.quality(table.columns[t.field]) for t in assembly.terms]
    quality = np.mean(qualities, 0)  # (N, )
    order = np.argsort(-quality, kind='stable')
    number = min(assembly.sheet_pairs, len(order))
    kept, dropped = order[keep[order]], order[~keep[order]]
    half = -(-number // 2)
    chosen = dict(
        best=kept[:number],
        borderline=np.concatenate([kept[-half:], dropped[:half]]),
        worst=(dropped if len(dropped) else kept)[::-1][:number],
    )
    wanted = {int(i) for some in chosen.values() for i in some}
    found = {}
    for i, (record, pair) in enumerate(read_pairs_of(write, render)):
        if i in wanted:
            found[i] = _sheet_pair(assembly, table, i, record, pair, keep)
    root = render.folder / 'images'
    for name in _SHEETS:
        pairs = [found[int(i)] for i in chosen[name]]
        title = f'{name}: {len(pairs)} of {len(table):,} pairs'
        draw_sheet(out / f'{name}.png', title, pairs, root)


def _sheet_pair(
    assembly: Assembly,
    table: ScoreTable,
    index: int,
    record: dict,
    pair: dict,
    keep: np.ndarray,
) -> SheetPair:
    facts = [
        f'{term.field} {table.columns[term.field][index]:.3g}'
        for term in assembly.terms
    ]
    if table.faults:
        facts.append(f'planted: {table.faults[table.kinds[index]] or "none"}')
    return SheetPair(
        pair['reference_image'],
        pair['target_image'],
        record['edit'],
        '\n'.join(facts),
        bool(keep[index]),
    )


def _nearest(assembly: Assembly, table: ScoreTable) -> str:
    """Say which term drops most."""
    counts = {
        str(term): int(term.mask(table.columns[term.field]).sum())
        for term in assembly.terms
    }
    hardest = min(counts, key=lambda name: counts[name])
    return f'"{hardest}" alone keeps {counts[hardest]:,}.'
