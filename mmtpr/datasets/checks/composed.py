"""Checking the datasets of composed retrieval on disk."""

from collections.abc import Sequence
from typing import Any

from mmengine.config import Config

from mmtpr.structures.image_paths import image_paths
from mmtpr.utils.images import MISSING

from ..annotations.images import find_bad_images, find_unreachable_images
from ..composed_base import ComposedDataset
from ..itcpr import ITCPR, without_target
from ..syn_cpr import IMAGE_KEYS, SynCPR
from .config_datasets import build_lenient, leaf_datasets

#: What is checked here.
COMPOSED = (SynCPR, ITCPR)
#: Findings of a composed dataset, in the order of the report.
COMPOSED_FINDINGS = (
    'missing_images',
    'unreadable_images',
    'empty_captions',
    'missing_targets',
    'repeated_paths',
)
#: arXiv 2311.16515 v4.
PUBLISHED_COMPOSED = {
    'SynCPR': dict(triplets=1_153_220, groups=177_530),
    'ITCPR': dict(queries=2_202, gallery=20_510, distractors=18_285),
}


def composed_of_config(
    cfg: Config, splits: Sequence[str] | None = None
) -> list[tuple[str, ComposedDataset]]:
    """Build the composed datasets of a config, each file once.

    Args:
        cfg (Config): A config with data loaders.
        splits (Sequence[str], optional): Uses to keep, ``'train'``,
            ``'val'``, ``'test'``. Defaults to all.

    Returns:
        list[tuple[str, ComposedDataset]]: What each is for, such as
        ``'train, val'``, and the dataset, not loaded.
    """
    uses: dict[tuple, list[str]] = {}
    found: dict[tuple, ComposedDataset] = {}
    for use, kind, node in leaf_datasets(cfg):
        if kind is None or not issubclass(kind, COMPOSED):
            continue
        if splits and use not in splits:
            continue
        more = {'missing_targets': 'skip'} if issubclass(kind, ITCPR) else {}
        dataset = build_lenient(kind, node, missing_images=None, **more)
        key = (kind, _source(dataset), dataset.image_path(''))
        found.setdefault(key, dataset)
        if use not in uses.setdefault(key, []):
            uses[key].append(use)
    return [(', '.join(uses[key]), found[key]) for key in found]


def check_composed(
    dataset: ComposedDataset,
    use: str,
    images: bool = True,
    num_workers: int = 8,
    limit: int = 20,
) -> dict[str, Any]:
    """Check the files of a dataset, all splits that are cut from them.

    Args:
        dataset (ComposedDataset): :class:`SynCPR` or :class:`ITCPR`.
        use (str): What it is for, reported as ``split``.
        images (bool): Whether to decode the images. Otherwise only those
            that do not exist or cannot be reached are found. Defaults to True.
        num_workers (int): Threads that decode. Defaults to 8.
        limit (int): Examples kept of each finding. Defaults to 20.

    Returns:
        dict: As :func:`mmtpr.datasets.checks.check_split`, with
        :data:`COMPOSED_FINDINGS`.
    """
    if isinstance(dataset, SynCPR):
        paths, found, lost = _triplets(dataset)
    else:
        paths, found, lost = _queries_and_gallery(dataset)
    paths = [dataset.image_path(path) for path in dict.fromkeys(paths)]
    bad = find_unreachable_images(paths)
    if images:
        there = (path for path in paths if path not in bad)
        bad.update(find_bad_images(there, num_workers))
    name = dataset.metainfo['dataset_name']
    findings = dict(
        missing_images=[p for p, why in bad.items() if why == MISSING],
        unreadable_images=[
            f'{path}: {why}' for path, why in bad.items() if why != MISSING
        ],
        empty_captions=[
            f'record {index}'
            for index in dataset.load_report['empty_captions']
        ],
        missing_targets=[
            f'{q["file_path"]}: instance_id {q["instance_id"]}' for q in lost
        ],
        repeated_paths=dataset.load_report.get('repeated_paths', []),
    )
    return dict(
        dataset=name,
        split=use,
        source=_source(dataset),
        found=dict(images=len(paths), **found),
        published=PUBLISHED_COMPOSED.get(name),
        **{
            key: dict(number=len(values), examples=values[:limit])
            for key, values in findings.items()
        },
    )


def _triplets(dataset: SynCPR) -> tuple[list[str], dict, list]:
    records = dataset.load_records()
    paths = [record[key] for record in records for key in IMAGE_KEYS]
    groups = {record['cpr_id'] for record in records}
    return paths, dict(triplets=len(records), groups=len(groups)), []


def _queries_and_gallery(dataset: ITCPR) -> tuple[list[str], dict, list]:
    queries, gallery = dataset.load_records()
    found = dict(
        queries=len(queries),
        gallery=len(gallery),
        distractors=sum(r['instance_id'] == -1 for r in gallery),
    )
    paths = [
        path
        for record in (*queries, *gallery)
        for path in image_paths(record['file_path'])
    ]
    return paths, found, without_target(queries, gallery)


def _source(dataset: ComposedDataset) -> str:
    if isinstance(dataset, ITCPR):
        names = (dataset.query_file, dataset.gallery_file)
        return ', '.join(dataset.find_file(name) for name in names)
    return str(dataset.ann_file)
