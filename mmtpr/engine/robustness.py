"""Tests of a model with corrupted queries, and their table."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmtpr.datasets.transforms.corrupt_query import IMAGE_KINDS, STRENGTHS
from mmtpr.models.retrievers import ComposedPersonRetriever
from mmtpr.registry import MODELS, TRANSFORMS
from mmtpr.utils.errors import LaunchError

#: Name of the test with queries as they are.
CLEAN = 'clean'


def choose_kinds(cfg: Config, asked: Sequence[str] | None) -> list[str]:
    """Choose what queries of a model can be corrupted by.

    Args:
        cfg (Config): Its config.
        asked (Sequence[str], optional): Kinds that are asked for.

    Returns:
        list[str]: Those; by default all, or typos alone where queries have
        no image.

    Raises:
        LaunchError: If an image is to be corrupted that no query has.
    """
    model = cfg.model
    while 'module' in model:  # adapters around a whole model
        model = model.module
    kind = MODELS.get(model.type)
    composed = isinstance(kind, type) and issubclass(
        kind, ComposedPersonRetriever
    )
    kinds = [k for k in STRENGTHS if composed or k not in IMAGE_KINDS]
    if asked is None:
        return kinds
    lost = [k for k in asked if k not in kinds]
    if lost:
        raise LaunchError(
            f'{", ".join(lost)} would change nothing: queries of '
            f'{model.type} are sentences without image. Choose from '
            f'{", ".join(kinds)}.'
        )
    return list(asked)


def corrupted_config(
    cfg: Config, kind: str, severity: int, seed: int = 0
) -> Config:
    """Put a corruption into the pipelines of the test data.

    Args:
        cfg (Config): The config; it stays as it is.
        kind (str): See :class:`CorruptQuery`.
        severity (int): Likewise.
        seed (int): Likewise.

    Returns:
        Config: With the corruption behind each reader of images, or, of
        typos, at the beginning.

    Raises:
        LaunchError: If there is no pipeline, or none that reads images.
    """
    cfg = copy.deepcopy(cfg)
    step = dict(
        type='mmtpr.CorruptQuery', kind=kind, severity=severity, seed=seed
    )
    pipelines = _pipelines(cfg.test_dataloader)
    done = [_insert(pipeline, step) for pipeline in pipelines]
    if not done or not all(done):
        raise LaunchError(
            f'The test data of "{cfg.filename}" have no pipeline in which '
            f'{kind} has its place: it goes behind what reads img_path, '
            'inside mmtpr.ImageTransforms, or before the tokenizer.'
        )
    return cfg


def keep_apart(cfg: Config, folder: Path, name: str) -> None:
    """Give files that metrics write a place for each test.

    Args:
        cfg (Config): Of a test; changed in place.
        folder (Path): Where such files go.
        name (str): Name of the test.
    """
    given = cfg.get('test_evaluator') or []
    for metric in given if isinstance(given, list | tuple) else [given]:
        for key in ('save_ranking', 'save_scores'):
            if path := metric.get(key):
                metric[key] = str(folder / f'{name}_{Path(path).name}')


def _pipelines(node: Any) -> list[list]:
    """All pipelines below a part of a config."""
    if isinstance(node, dict):
        own = [node['pipeline']] if node.get('pipeline') else []
        node = [v for k, v in node.items() if k != 'pipeline']
    else:
        own = []
    if isinstance(node, list | tuple):
        own += [pipeline for part in node for pipeline in _pipelines(part)]
    return own


def _insert(pipeline: list, step: dict) -> bool:
    if step['kind'] not in IMAGE_KINDS:
        pipeline.insert(0, step)
        return True
    for place, transform in enumerate(pipeline):
        if transform.get('transforms') and not transform.get('mapping'):
            return _insert(transform['transforms'], step)
        kind = TRANSFORMS.get(transform['type'])
        if 'LoadImage' in getattr(kind, '__name__', ''):
            pipeline.insert(place + 1, step)
            return True
    return False


def robustness_table(
    results: Mapping[str, Mapping[str, float]],
    kinds: Sequence[str],
    severities: Sequence[int],
    names: Sequence[str],
) -> str:
    """Format results as a table.

    Args:
        results (Mapping): Numbers by test: ``'clean'``, ``'noise_1'``, ...
        kinds (Sequence[str]): The kinds.
        severities (Sequence[int]): The severities.
        names (Sequence[str]): Names of the numbers.

    Returns:
        str: Markdown: a row a kind and severity, with the difference from
        clean queries beside each number.

    Raises:
        ValueError: If a test has no number of a name.
    """
    clean = results[CLEAN]
    absent = [name for name in names if name not in clean]
    if absent:
        raise ValueError(
            f'The metric gives no {", ".join(absent)}; it gives '
            f'{", ".join(clean)}.'
        )
    lines = [
        f'| queries | severity | {" | ".join(names)} |',
        f'|---|---:|{"---:|" * len(names)}',
        f'| {CLEAN} | | '
        + ' | '.join(f'{clean[name]:.2f}' for name in names)
        + ' |',
    ]
    for kind in kinds:
        for severity in severities:
            found = results[f'{kind}_{severity}']
            cells = [
                f'{found[n]:.2f} ({found[n] - clean[n]:+.2f})' for n in names
            ]
            lines.append(f'| {kind} | {severity} | {" | ".join(cells)} |')
    return '\n'.join(lines)
