"""The last stage: a rule turns judged pairs into files of triplets."""

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

from mmtpr.filtering.field_rule import check_fields, parse_rule, rule_mask
from mmtpr.utils import atomic_write
from mmtpr.utils.errors import LaunchError
from mmtpr.utils.numbers import check_whole
from mmtpr.utils.plain_values import plain_value
from mmtpr.utils.run_lock import lock_output

from ..run_stage import clear_leftovers
from ..stage_folder import StageFolder
from .all_triplets import SCORES, all_triplets
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
from .sheet_choice import choose_sheets, sheet_pair
from .triplet_files import (
    ALL,
    TRAIN,
    VAL,
    triplet_file,
    triplets_of,
    val_records,
)

REPORT, FIELDS = 'report.json', 'fields'


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
        check_whole('assemble.seed', self.seed, least=0)
        check_whole('assemble.sheet_pairs', self.sheet_pairs)
        if self.shard_pairs is not None:
            check_whole('assemble.shard_pairs', self.shard_pairs)
            require_webdataset()  # now, not after an hour


def assemble(
    assembly: Assembly,
    write: StageFolder,
    render: StageFolder,
    judges: Mapping[str, StageFolder],
    out: Path,
) -> dict[str, Any]:
    """Write triplets, a report and contact sheets.

    Images stay where they are. The same call writes the same files; another
    rule needs another folder. Other runs are kept away meanwhile.

    Args:
        assembly (Assembly): How.
        write (StageFolder): The records.
        render (StageFolder): The pairs.
        judges (Mapping[str, StageFolder]): Scores by name of the judge.
        out (Path): Where to.

    Returns:
        dict[str, Any]: The report.

    Raises:
        LaunchError: If another run assembles there, a stage is not done or of
            another run, the rule keeps nothing, the folder holds triplets of
            another rule or of other scores, or the disk is full.
        ValueError: If the rule names a field that no judge wrote.
    """
    with lock_output(out / '.lock', f'The folder "{out}"'):
        return _assemble(assembly, write, render, judges, out)


def _assemble(
    assembly: Assembly,
    write: StageFolder,
    render: StageFolder,
    judges: Mapping[str, StageFolder],
    out: Path,
) -> dict[str, Any]:
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
    _begin(assembly, write, render, judges, out)
    sheets = choose_sheets(assembly.terms, table, keep, assembly.sheet_pairs)
    figures = [f'{name}.png' for name in (FIELDS, *sheets)]
    names = (TRAIN, VAL, ALL, SCORES, REPORT, *figures)
    clear_leftovers(out / name for name in names)
    counts, shown = _write_triplets(
        assembly, write, render, table, keep, val, sheets, out
    )
    # Each direction of a record is a group.
    counts['train_groups'] = 2 * (len(np.unique(kept)) - len(val))
    counts['val_groups'] = 2 * len(val)
    if assembly.write_all:
        counts['all'] = counts.pop('all')  # the last in the report
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
    plot_fields(out / f'{FIELDS}.png', table, keep)
    for name, indices in sheets.items():
        title = f'{name}: {len(indices)} of {len(table):,} pairs'
        pairs = [shown[index] for index in indices]
        draw_sheet(out / f'{name}.png', title, pairs, render.folder / 'images')
    print_log(
        f'assemble: kept {int(keep.sum()):,} of {len(table):,} pairs, '
        f'{counts["train"]:,} triplets of train and {counts["val"]:,} of val '
        f'in "{out}".',
        logger='current',
    )
    if assembly.shard_pairs:
        write_shards(out, render.folder / 'images', assembly.shard_pairs)
    return report


def _begin(
    assembly: Assembly,
    write: StageFolder,
    render: StageFolder,
    judges: Mapping[str, StageFolder],
    out: Path,
) -> None:
    """Refuse a folder of another rule, naming what differs."""
    names = sorted(judges)
    settings = dict(
        rule=[term.settings() for term in assembly.terms],
        val_share=assembly.val_share,
        seed=assembly.seed,
        judges=names,
    )
    sources = [write, render, *(judges[name] for name in names)]
    folder = StageFolder(out)
    clear_leftovers(folder.files)
    folder.open('assemble', settings, sources, 1)


def _write_triplets(
    assembly: Assembly,
    write: StageFolder,
    render: StageFolder,
    table: ScoreTable,
    keep: np.ndarray,
    val: set[int],
    sheets: Mapping[str, Sequence[int]],
    out: Path,
) -> tuple[dict[str, int], dict[int, SheetPair]]:
    """Write all files of triplets; the rows of pairs are read once.

    Gives the number of triplets by file, and the pairs that sheets show.
    """
    wanted = {index for indices in sheets.values() for index in indices}
    shown: dict[int, SheetPair] = {}
    with ExitStack() as stack:
        train, held = (
            stack.enter_context(triplet_file(out / name))
            for name in (TRAIN, VAL)
        )
        whole = None
        if assembly.write_all:
            whole = stack.enter_context(all_triplets(out, table, val))
        pairs = zip(keep, read_pairs_of(write, render), strict=True)
        for index, (is_kept, (record, pair)) in enumerate(pairs):
            if index in wanted:
                shown[index] = sheet_pair(
                    assembly.terms, table, index, record, pair, bool(is_kept)
                )
            is_val = record['index'] in val
            if not is_kept and (is_val or whole is None):
                continue
            for triplet in triplets_of(record, pair):
                if is_kept:
                    (held if is_val else train).add(triplet)
                if whole is not None and not is_val:
                    whole.add(triplet)
    counts = dict(train=train.length, val=held.length)
    if whole is not None:
        counts['all'] = whole.length
    return counts, shown


def _nearest(assembly: Assembly, table: ScoreTable) -> str:
    """Say which term drops most."""
    counts = {
        str(term): int(term.mask(table.columns[term.field]).sum())
        for term in assembly.terms
    }
    hardest = min(counts, key=lambda name: counts[name])
    return f'"{hardest}" alone keeps {counts[hardest]:,}.'
