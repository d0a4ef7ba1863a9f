"""Queries that are improved by other words for the same."""

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmtpr.text.characters import is_blank
from mmtpr.utils.warn import warn

from .queries import Query, sentence_of
from .results import shortened

#: A list for one query, lists by sentence, or what makes them of a sentence.
Paraphrases = (
    Sequence[str]
    | Mapping[str, Sequence[str]]
    | Callable[[str], Sequence[str]]
)


def paraphrases_of(
    queries: Sequence[Query], paraphrases: Paraphrases
) -> list[list[str]]:
    """Find the paraphrases of each query.

    Args:
        queries (Sequence[str | dict]): Q checked queries.
        paraphrases (Sequence[str] | Mapping | Callable): A list for a single
            query; lists by sentence; or a function from a sentence to a list.

    Returns:
        list[list[str]]: Those of each query; a line counts the queries that
        have none.

    Raises:
        ValueError: If a list is given for several queries, or something is no
            sentence.
    """
    sentences = [sentence_of(query) for query in queries]
    if callable(paraphrases):
        found = [paraphrases(sentence) for sentence in sentences]
    elif isinstance(paraphrases, Mapping):
        found = [paraphrases.get(sentence, ()) for sentence in sentences]
    elif len(sentences) == 1:
        found = [paraphrases]
    else:
        raise ValueError(
            f'A list of paraphrases is for one query, there are '
            f'{len(sentences)}: give a dict of lists by sentence, or a '
            'function that makes them of a sentence.'
        )
    out = [_checked(some) for some in found]
    if without := out.count([]):
        first = sentences[out.index([])]
        warn(
            f'{without} of {len(out)} queries have no paraphrases, first '
            f'"{shortened(first)}": they are searched for as they are.'
        )
    return out


def _checked(paraphrases: Sequence[str]) -> list[str]:
    if isinstance(paraphrases, str):
        raise ValueError(
            f'Paraphrases are a list of sentences, got {paraphrases!r}.'
        )
    out = list(paraphrases)
    for sentence in out:
        if not isinstance(sentence, str) or is_blank(sentence):
            raise ValueError(
                f'A paraphrase is a sentence with words, got {sentence!r}.'
            )
    return out


def paraphrase_means(
    queries: Sequence[Query],
    paraphrases: Paraphrases,
    embed: Callable[[Sequence[Query]], Tensor],
    weight: float = 1.0,
) -> Tensor:
    """Embed paraphrases and average those of each query.

    Args:
        queries (Sequence[str | dict]): Q checked queries. With a reference
            image, paraphrases are combined with the same.
        paraphrases (Sequence[str] | Mapping | Callable): See
            :func:`paraphrases_of`.
        embed (Callable): From n queries to their vectors (n, D), of length
            one.
        weight (float): Of a mean; the query's own is 1. Defaults to 1.

    Returns:
        Tensor: What is to be added, (Q, D), or (Q, 1) if there are none at
        all; zeros where a query has none.

    Raises:
        ValueError: If something is no sentence or the weight not positive.
    """
    if not isinstance(weight, int | float) or not 0 < weight < float('inf'):
        raise ValueError(
            f'paraphrase_weight must be a positive number, got {weight!r}.'
        )
    lists = paraphrases_of(queries, paraphrases)
    said = [
        text if isinstance(query, str) else dict(query, caption=text)
        for query, texts in zip(queries, lists, strict=True)
        for text in texts
    ]
    if not said:
        return torch.zeros(len(queries), 1)
    vectors = embed(said)  # (n, D)
    owner = torch.tensor([q for q, x in enumerate(lists) for _ in x])  # (n, )
    sums = vectors.new_zeros(len(queries), vectors.shape[1])
    sums.index_add_(0, owner, vectors)  # (Q, D)
    number = owner.bincount(minlength=len(queries)).clamp(1)  # (Q, )
    return weight * sums / number[:, None]


def add_paraphrases(query: Tensor, means: Tensor) -> Tensor:
    """Add the means of paraphrases to queries.

    Args:
        query (Tensor): Vectors of length one, (Q, D).
        means (Tensor): Result of :func:`paraphrase_means`, (Q, D).

    Returns:
        Tensor: Vectors of length one, (Q, D); queries without paraphrases are
        as they were, to the bit.
    """
    moved = F.normalize(query + means, dim=-1)  # (Q, D)
    return torch.where((means == 0).all(1, keepdim=True), query, moved)
