"""Queries of several reference images, and of what is not wanted.

One rule for all retrievers: the vector of a query with several images is the
mean of those with each of them, and what is not wanted is a query of its own,
the negative in place of the sentence, whose vector times a weight is
subtracted. Both end at length one. With q and n of length one and a single
vector an item, items are ranked by cos(q, x) - weight * cos(n, x).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .negatives import negative_of, words_of
from .retrieval_data_sample import RetrievalDataSample

#: Length below which a difference of two vectors of length one is rounding.
_LEAST = 1e-4


def mean_of_parts(feats: Tensor, owners: Sequence[int], number: int) -> Tensor:
    """Average the vectors of each query.

    Args:
        feats (Tensor): Vectors of length one, (n, D).
        owners (Sequence[int]): Query of each, n numbers in 0..Q - 1.
        number (int): Q, each with a vector at least.

    Returns:
        Tensor: Of length one, (Q, D); the vectors themselves, to the bit,
        of those that have one.
    """
    if len(owners) == number:
        return feats
    index = torch.tensor(owners, device=feats.device)  # (n,)
    sums = feats.new_zeros(number, feats.shape[1])
    sums.index_add_(0, index, feats)  # (Q, D)
    # What is alone keeps its bits, whoever is in the batch.
    several = index.bincount(minlength=number)[:, None] > 1  # (Q, 1)
    return torch.where(several, F.normalize(sums, dim=-1), sums)


def negative_positions(
    samples: Sequence[RetrievalDataSample], inputs: dict[str, Any]
) -> list[int]:
    """Find the queries of a batch that say what is not wanted.

    Args:
        samples (Sequence[RetrievalDataSample]): The batch.
        inputs (dict): Output of the data preprocessor.

    Returns:
        list[int]: Their positions, those of the rows of ``negative_tokens``.

    Raises:
        ValueError: If a ``negative_text`` has no tokens.
    """
    told = [i for i, s in enumerate(samples) if s.get('negative_text')]
    index = inputs.get('negative_tokens_index')
    found = [] if index is None else index.tolist()
    if told != found:
        lost = min(set(told) ^ set(found))
        raise ValueError(
            f'The negative_text "{samples[lost].get("negative_text")}" of a '
            'query and its tokens do not come together: the pipeline needs '
            "'mmtpr.TokenizeCaption' or 'mmtpr.TokenizeBert' of the caption, "
            "and 'mmtpr.PackRetrievalInputs' to keep both."
        )
    return found


def subtract_negatives(
    samples: Sequence[RetrievalDataSample], vectors: Tensor
) -> None:
    """Take what is not wanted out of the vectors of queries.

    Args:
        samples (Sequence[RetrievalDataSample]): n queries with ``features``
            of length one, (D, ), ``negative_text`` and maybe
            ``negative_weight``; changed in place.
        vectors (Tensor): Of their negatives, of length one, (n, D).

    Raises:
        ValueError: If nothing is left of a query.
    """
    weights = [negative_of(s)['negative_weight'] for s in samples]
    feats = torch.stack([s.features for s in samples])  # (n, D)
    minus = feats.new_tensor(weights)[:, None] * vectors.to(feats)  # (n, D)
    left = feats - minus
    lengths = left.float().norm(dim=-1)  # (n,)
    # Broken weights of the model make NaN of their own and are told there.
    sound = (feats.isfinite() & vectors.isfinite()).all(dim=-1)  # (n,)
    gone = sound & ~((lengths > _LEAST) & lengths.isfinite())
    if gone.any():
        query = words_of(samples[int(gone.nonzero()[0])])
        raise ValueError(
            f'Nothing is left of the query "{query}" once what is not wanted '
            'is subtracted. Say it in other words, or set another '
            'negative_weight.'
        )
    for sample, row in zip(samples, F.normalize(left, dim=-1), strict=True):
        sample.features = row.clone()  # (D,)


def put_negatives(
    samples: Sequence[RetrievalDataSample],
    inputs: dict[str, Any],
    embed: Callable[[Tensor], Tensor],
) -> None:
    """Take what is not wanted out of queries that are sentences.

    Args:
        samples (Sequence[RetrievalDataSample]): The batch, with ``features``.
        inputs (dict): Output of the data preprocessor.
        embed (Callable): From token ids (n, L) to vectors (n, D).

    Raises:
        ValueError: If a ``negative_text`` has no tokens.
    """
    if told := negative_positions(samples, inputs):
        vectors = embed(inputs['negative_tokens'])
        subtract_negatives([samples[i] for i in told], vectors)
