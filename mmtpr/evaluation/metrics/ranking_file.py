"""Ranked lists as a json file."""

import json
import math
import os
from itertools import pairwise
from typing import Any

import torch

from mmtpr.structures.image_paths import image_paths
from mmtpr.structures.negatives import negative_of, words_of
from mmtpr.utils import atomic_write, read_json

from ..ranking.matches import Pairs
from ..ranking.ranking import Ranking

#: Raised when the layout changes in a way that readers must know.
VERSION = 1


def same_image_pairs(queries: list[dict], gallery: list[dict]) -> Pairs:
    """Pair queries with the gallery items made of the same image.

    Args:
        queries (list[dict]): Each with ``img_path``, str or None.
        gallery (list[dict]): Likewise. ``img_path`` of a query may be a list.

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
        for path in dict.fromkeys(
            map(os.path.normpath, image_paths(item['img_path']))
        )
        for col in places.get(path, ())
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
    """Write the head of each query's ranking, and the ranks of all positives.

    Args:
        path (str | PathLike): The file; it appears whole or not at all.
        queries (list[dict]): With ``id``, ``caption`` and ``img_path``, and
            maybe ``negative_text`` and ``negative_weight``.
        gallery (list[dict]): With ``id`` and ``img_path``.
        ranking (Ranking): The ranks of all positives.
        lists (dict[str, Tensor]): From :func:`ranked_lists`.
        header (dict): Facts about the run, json-serialisable.
    """
    numbers = ranking.per_query()
    first = numbers['first'].nan_to_num(nan=0).long().tolist()
    precision = numbers['AP'].nan_to_num(nan=0).tolist()
    columns = [lists[key].tolist() for key in ('index', 'score', 'correct')]
    sizes = torch.bincount(ranking.rows, minlength=ranking.num_queries)
    right = [r.tolist() for r in ranking.ranks.split(sizes.tolist())]
    entries = []
    for row, (query, *head) in enumerate(zip(queries, *columns, strict=True)):
        entries.append(
            dict(
                index=row,
                id=query['id'],
                caption=query['caption'],
                img_path=query['img_path'],
                **negative_of(query),
                first_rank=first[row] or None,
                right_ranks=right[row],
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
        ``caption``, ``img_path``, ``negative_text`` and ``negative_weight``
        where it has these, ``first_rank`` (None without positives),
        ``right_ranks`` (of all positives in the whole gallery, ascending;
        files of mmtpr 0.1 lack it), ``AP`` in [0, 1] and ``ranking``, the
        best items.

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


def first_ranks(content: dict[str, Any]) -> torch.Tensor:
    """Rank of the first positive of each query, in the whole gallery.

    Args:
        content (dict): From :func:`read_ranking`.

    Returns:
        Tensor: Of shape (Q, ), float64, NaN for a query without positives.

    Raises:
        ValueError: If one is missing or no rank.
    """
    found = []
    for number, query in enumerate(content['queries']):
        rank = query.get('first_rank', 0) if isinstance(query, dict) else 0
        if rank is not None and not _is_rank(rank):
            raise ValueError(
                f'Query {number} of the ranked lists has no rank from 1 as '
                'first_rank; the file is damaged.'
            )
        found.append(math.nan if rank is None else rank)
    return torch.tensor(found, dtype=torch.float64)


def saved_ranking(content: dict[str, Any]) -> Ranking | None:
    """Ranks of all positives in the whole gallery.

    Args:
        content (dict): From :func:`read_ranking`.

    Returns:
        Ranking | None: The ranks, None for a file that holds but the best
        items, from which nobody can tell how many positives there are.

    Raises:
        ValueError: If they do not fit the first ranks.
    """
    first = first_ranks(content).tolist()
    lists = [query.get('right_ranks') for query in content['queries']]
    if not all(isinstance(ranks, list) for ranks in lists):
        return None
    for number, (ranks, best) in enumerate(zip(lists, first, strict=True)):
        begins = ranks[:1] == ([] if math.isnan(best) else [best])
        rises = all(a < b for a, b in pairwise(ranks))
        if not (begins and rises and all(map(_is_rank, ranks))):
            raise ValueError(
                f'right_ranks of query {number} of the ranked lists do not '
                'begin with first_rank and rise; the file is damaged.'
            )
    sizes = torch.tensor([len(ranks) for ranks in lists])
    return Ranking(
        torch.tensor([r for ranks in lists for r in ranks], dtype=torch.long),
        torch.arange(len(lists)).repeat_interleave(sizes),
        len(lists),
    )


def query_rows(
    content: dict[str, Any], num_paths: int = 5
) -> list[dict[str, Any]]:
    """Facts of each query as a row of a table.

    Args:
        content (dict): From :func:`read_ranking`.
        num_paths (int): How many of the best items are named, at most as many
            as the file holds. Defaults to 5.

    Returns:
        list[dict]: ``index``, ``query`` (its words), ``query_image``,
        ``id``, ``first_rank``, ``AP`` in [0, 1], ``num_right`` (the number of
        positives, '' where the file does not tell), ``path_1`` and so on.
        ``first_rank`` and ``AP`` of a query without positives are ''.
    """
    rows = []
    for query, first in zip(
        content['queries'], first_ranks(content).tolist(), strict=True
    ):
        has = not math.isnan(first)
        right = query.get('right_ranks')
        row = dict(
            index=query.get('index'),
            query=words_of(query) or None,
            query_image='; '.join(image_paths(query.get('img_path'))) or None,
            id=query.get('id'),
            first_rank=int(first) if has else '',
            AP=query.get('AP') if has else '',
            num_right='' if right is None else len(right),
        )
        best = query.get('ranking', [])[:num_paths]
        for place, item in enumerate(best, 1):
            row[f'path_{place}'] = item.get('img_path')
        rows.append(row)
    return rows


def _is_rank(value: Any) -> bool:
    return isinstance(value, int) and value >= 1
