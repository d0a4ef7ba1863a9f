"""Checking datasets on disk against what they should be."""

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

from mmengine.config import Config

from mmtpr.text.characters import has_control_characters
from mmtpr.utils.images import MISSING

from ..annotations.images import inspect_images
from ..annotations.published_sizes import PUBLISHED, Counts
from ..annotations.records import PersonRecord
from ..text_person_dataset import TextPersonDataset
from .composed import (
    COMPOSED,
    COMPOSED_FINDINGS,
    check_composed,
    composed_of_config,
)
from .config_datasets import build_lenient, leaf_datasets
from .records import (
    cut_captions,
    images_of_several_persons,
    paths_by_case,
    repeated_records,
    shared_captions,
)

#: Findings of a split, in the order of the report.
FINDINGS = (
    'missing_images',
    'unreadable_images',
    'near_empty_images',
    'images_of_several_persons',
    'repeated_records',
    'paths_by_case',
    'shared_captions',
    'cut_captions',
    'empty_captions',
    'control_captions',
)
#: Findings that published sets have: told, but no problem.
HARMLESS = ('shared_captions', 'cut_captions', 'repeated_paths')


def datasets_of_config(
    cfg: Config, splits: Sequence[str] | None = None
) -> tuple[list[TextPersonDataset], list[str]]:
    """Build the captioned datasets of a config, without their wrappers.

    They are not loaded yet, have no pipeline, and are lenient about empty
    captions and broken images, so that all of them can be counted.

    Args:
        cfg (Config): A config with data loaders.
        splits (Sequence[str], optional): Splits to keep. Defaults to all.

    Returns:
        tuple[list[TextPersonDataset], list[str]]: The datasets, each once,
        and the types of the other datasets found, less those of
        :func:`composed_of_config`.
    """
    found, others = _with_pipelines(cfg, splits)
    return [dataset for dataset, _ in found], others


def _with_pipelines(
    cfg: Config, splits: Sequence[str] | None
) -> tuple[list[tuple[TextPersonDataset, Any]], list[str]]:
    """The datasets, each with the configs of its transforms."""
    built: dict[tuple, tuple[TextPersonDataset, Any]] = {}
    others = []
    for _, kind, node in leaf_datasets(cfg):
        if kind is None or not issubclass(kind, TextPersonDataset):
            if kind is None or not issubclass(kind, COMPOSED):
                others.append(str(node.get('type')))
            continue
        dataset = build_lenient(kind, node)
        key = (kind, str(dataset.ann_file), dataset.split)
        if not splits or dataset.split in splits:
            built.setdefault(key, (dataset, node.get('pipeline')))
    return list(built.values()), others


def check_split(
    dataset: TextPersonDataset,
    images: bool = True,
    num_workers: int = 8,
    limit: int = 20,
    pipeline: Any = (),
) -> dict[str, Any]:
    """Check one split.

    Args:
        dataset (TextPersonDataset): The dataset, of which only annotations
            and images are read.
        images (bool): Whether to decode the images. Defaults to True.
        num_workers (int): Threads that decode. Defaults to 8.
        limit (int): Examples kept of each finding. Defaults to 20.
        pipeline (list[dict]): Configs of its transforms, for the tokenizer
            that may cut captions. Defaults to ().

    Returns:
        dict: ``dataset``, ``split``, ``source``, ``found`` and ``published``
        counts (the latter None where there are none), and for each of
        :data:`FINDINGS` a dict of ``number`` and ``examples``.
    """
    records = dataset.load_records()
    bad, empty = {}, []
    if images:
        dataset.check_image_root(records[0].path)
        paths = (dataset.image_path(r.path) for r in records)
        states = inspect_images(paths, num_workers)
        bad = {p: s.problem for p, s in states.items() if s.problem}
        empty = [p for p, s in states.items() if s.shows_nothing]
    cut = cut_captions(records, pipeline)
    findings: dict[str, list] = dict(
        missing_images=[p for p, why in bad.items() if why == MISSING],
        unreadable_images=[
            f'{path}: {why}' for path, why in bad.items() if why != MISSING
        ],
        near_empty_images=empty,
        images_of_several_persons=images_of_several_persons(
            records, dataset.image_path if images else None
        ),
        repeated_records=repeated_records(records),
        paths_by_case=paths_by_case(records),
        shared_captions=shared_captions(records),
        **({} if cut is None else dict(cut_captions=cut)),
        empty_captions=dataset.load_report['empty_captions'],
        control_captions=[
            f'{r.path}: {caption!r}'
            for r in records
            for caption in r.captions
            if has_control_characters(caption)
        ],
    )
    published = None if dataset.val_pids else published_counts(dataset)
    return dict(
        dataset=dataset.metainfo['dataset_name'],
        split=dataset.split,
        source=dataset.source,
        found=count(records)._asdict(),
        published=published and published._asdict(),
        **{
            name: dict(number=len(values), examples=values[:limit])
            for name, values in findings.items()
        },
    )


def check_config(
    cfg: Config,
    splits: Sequence[str] | None = None,
    images: bool = True,
    num_workers: int = 8,
    limit: int = 20,
) -> dict[str, Any]:
    """Check all captioned and all composed datasets of a config.

    Args:
        cfg (Config): A config with data loaders.
        splits (Sequence[str], optional): Splits to keep. Defaults to all.
        images (bool): Whether to decode the images. Defaults to True.
        num_workers (int): Threads that decode. Defaults to 8.
        limit (int): Examples kept of each finding. Defaults to 20.

    Returns:
        dict: ``splits`` (see :func:`check_split` and
        :func:`check_composed`), ``overlaps`` (see :func:`overlapping_pids`)
        and ``skipped`` types of datasets.

    Raises:
        ValueError: If there is nothing to check.
    """
    datasets, others = _with_pipelines(cfg, splits)
    composed = composed_of_config(cfg, splits)
    if not datasets and not composed:
        raise ValueError(
            'The config has no captioned dataset to check'
            + (f' in the splits {", ".join(splits)}' if splits else '')
            + (f'; it has {", ".join(others)}.' if others else '.')
        )
    how = (images, num_workers, limit)
    return dict(
        splits=[
            *(check_split(data, *how, pipe) for data, pipe in datasets),
            *(check_composed(dataset, use, *how) for use, dataset in composed),
        ],
        overlaps=overlapping_pids([data for data, _ in datasets], limit),
        skipped=sorted(set(others)),
    )


def count(records: Iterable[PersonRecord]) -> Counts:
    """Count images, captions and identities.

    Args:
        records (Iterable[PersonRecord]): Records of a split.

    Returns:
        Counts: Their numbers.
    """
    records = list(records)
    return Counts(
        len({r.path for r in records}),
        sum(len(r.captions) for r in records),
        len({r.pid for r in records}),
    )


def published_counts(dataset: TextPersonDataset) -> Counts | None:
    """Look up what is published about a split.

    Args:
        dataset (TextPersonDataset): The dataset.

    Returns:
        Counts | None: The numbers, None if there are none.
    """
    name = dataset.metainfo.get('dataset_name')
    return PUBLISHED.get(name, {}).get(dataset.split)


def overlapping_pids(
    datasets: Sequence[TextPersonDataset], limit: int = 20
) -> list[dict]:
    """Find identities that occur in two splits of one dataset.

    Args:
        datasets (Sequence[TextPersonDataset]): Splits of datasets.
        limit (int): Identities listed for each pair. Defaults to 20.

    Returns:
        list[dict]: ``dataset``, ``splits``, ``number`` and ``examples`` for
        each pair of splits with common identities.
    """
    pids = [{r.pid for r in d.load_records()} for d in datasets]
    found = []
    for (a, left), (b, right) in combinations(
        zip(datasets, pids, strict=True), 2
    ):
        name = a.metainfo['dataset_name']
        common = sorted(left & right, key=str)
        if common and b.metainfo['dataset_name'] == name:
            found.append(
                dict(
                    dataset=name,
                    splits=[a.split, b.split],
                    number=len(common),
                    examples=common[:limit],
                )
            )
    return found


def count_problems(report: dict, ignore_counts: bool = False) -> int:
    """Count what is wrong in a report.

    What :data:`HARMLESS` names is reported but is no error: the published
    sets have it.

    Args:
        report (dict): Result of :func:`check_config`.
        ignore_counts (bool): Whether counts may differ from the published
            ones, as those of a subset do. Defaults to False.

    Returns:
        int: Number of findings.
    """
    problems = sum(overlap['number'] for overlap in report['overlaps'])
    for split in report['splits']:
        problems += sum(
            split[name]['number']
            for name in findings_of(split)
            if name not in HARMLESS
        )
        if not ignore_counts:
            problems += len(count_differences(split))
    return problems


def count_differences(split: dict) -> list[str]:
    """Name the counts of a split that differ from the published ones.

    Args:
        split (dict): Result of :func:`check_split`.

    Returns:
        list[str]: Such as ``'images'``, ``'captions'`` and ``'pids'``.
    """
    published = split['published'] or {}
    return [
        name
        for name, number in published.items()
        if number is not None and number != split['found'][name]
    ]


def findings_of(split: dict) -> list[str]:
    """Name the findings of a split in the order of the report.

    Args:
        split (dict): Result of :func:`check_split` or
            :func:`check_composed`.

    Returns:
        list[str]: Among :data:`FINDINGS` and :data:`COMPOSED_FINDINGS`.
    """
    names = dict.fromkeys((*FINDINGS, *COMPOSED_FINDINGS))
    return [name for name in names if name in split]
