"""Ranked lists as a json file."""

import json
import os
from typing import Any

import torch

from mmtpr.utils import atomic_write, read_json

from ..ranking.matches import Pairs
from ..ranking.ranking import Ranking

#: Raised when the layout changes in a way that readers must know.
VERSION = 1


def same_image_pairs(queries: list[dict], gallery: list[dict]) -> Pairs:
    """Pair queries with the gallery items made of the same image.

    Args:
        queries (list[dict]): Each with ``img_path``, str or None.
        gallery (list[dict]): Likewise.

    Returns:
        tuple[Tensor, Tensor]: Query and gallery indices, each (P, ), long.
    """
    places: dict[str, list[int]] = {}
    for col, item in enumerate(gallery):
        if item['img_path']:
            path = os.path.normpath(item['img_path'])
            places.setdefault(path, []).append(col)
    pairs = [
        (row, col)
        for row, item in enumerate(queries)
        if item['img_path']
        for col in places.get(os.path.normpath(item['img_path']), ())
    ]
    rows, cols = torch.tensor(pairs, dtype=torch.long).view(-1, 2).unbind(1)
    return rows, cols


def write_ranking(
    path: str | os.PathLike,
    queries: list[dict],
    gallery: list[dict],
    ranking: Ranking,
    lists: dict[str, torch.Tensor],
    header: dict[str, Any],
) -> None:
    """Write the head of each query's ranking.

    Args:
        path (str | PathLike): The file; it appears whole or not at all.
        queries (list[dict]): With ``id``, ``caption`` and ``img_path``.
        gallery (list[dict]): With ``id`` and ``img_path``.
        ranking (Ranking): The ranks of all positives.
        lists (dict[str, Tensor]): From :func:`ranked_lists`.
        header (dict): Facts about the run, json-serialisable.
    """
    numbers = ranking.per_query()
    first = numbers['first'].nan_to_num(nan=0).long().tolist()
    precision = numbers['AP'].nan_to_num(nan=0).tolist()
    columns = [lists[key].tolist() for key in ('index', 'score', 'correct')]
    entries = []
    for row, (query, *head) in enumerate(zip(queries, *columns, strict=True)):
        entries.append(
            dict(
                index=row,
                id=query['id'],
                caption=query['caption'],
                img_path=query['img_path'],
                first_rank=first[row] or None,
                AP=precision[row],
                ranking=[
                    dict(
                        img_path=gallery[index]['img_path'],
                        id=gallery[index]['id'],
                        score=score,
                        correct=correct,
                    )
                    for index, score, correct in zip(*head, strict=True)
                    if score != float('-inf')
                ],
            )
        )
    with atomic_write(path, 'w') as file:
        json.dump(dict(version=VERSION, **header, queries=entries), file)


def read_ranking(path: str | os.PathLike) -> dict[str, Any]:
    """Read a file of :func:`write_ranking`.

    Args:
        path (str | PathLike): The file.

    Returns:
        dict: With ``queries``, a list of dicts with ``index``, ``id``,
        ``caption``, ``img_path``, ``first_rank`` (None without positives),
        ``AP`` in [0, 1] and ``ranking``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not json or not of this layout.
    """
    content = read_json(path, 'file of ranked lists')
    version = content.get('version') if isinstance(content, dict) else None
    if version != VERSION or 'queries' not in content:
        raise ValueError(
            f'"{path}" is not a file of ranked lists of version {VERSION}; '
            'write one with PersonRetrievalMetric(save_ranking=...).'
        )
    return content
