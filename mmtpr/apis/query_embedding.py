"""From queries to their vectors."""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from mmtpr.structures import RetrievalDataSample
from mmtpr.text.unknown_characters import unknown_characters
from mmtpr.utils.warn import warn

from .queries import Query, sample_of, sentence_of, warn_of_paths
from .results import report_cut, shortened


@torch.no_grad()
def embed_queries(
    queries: Sequence[Query],
    pipeline: Callable,
    collate: Callable,
    model: Any,
    batch_size: int = 64,
) -> Tensor:
    """Embed queries; what of them is left out or unknown is told.

    Args:
        queries (Sequence[str | dict]): Q checked queries.
        pipeline (Callable): From an entry to a packed sample.
        collate (Callable): Makes a batch of a list of samples.
        model (nn.Module): With ``test_step`` that puts ``features``, (D, ),
            on every sample.
        batch_size (int): Queries in a batch. Defaults to 64.

    Returns:
        Tensor: Of shape (Q, D), float32.

    Raises:
        FileNotFoundError: If a reference image is absent.
        ValueError: If an embedding is not finite.
    """
    report_odd(queries, pipeline)
    samples: list[RetrievalDataSample] = []
    packed = (pipeline(sample_of(query)) for query in queries)
    while some := list(islice(packed, batch_size)):
        samples.extend(model.test_step(collate(some)))
    report_cut(samples)
    return stacked_vectors(samples)


@torch.no_grad()
def embed_sentences(
    sentences: Sequence[str],
    pipeline: Callable,
    collate: Callable,
    model: Any,
    batch_size: int = 64,
) -> Tensor:
    """Embed sentences alone with a model whose queries have an image too.

    Its text tower puts them into the space of its queries.

    Args:
        sentences (Sequence[str]): Q checked sentences.
        pipeline (Callable): From an entry to a packed sample.
        collate (Callable): Makes a batch of a list of samples.
        model (nn.Module): With ``data_preprocessor`` and
            ``extract_text_feat``.
        batch_size (int): Sentences in a batch. Defaults to 64.

    Returns:
        Tensor: Of shape (Q, D), float32.

    Raises:
        ValueError: If an embedding is not finite.
    """
    report_odd(sentences, pipeline)
    samples: list[RetrievalDataSample] = []
    packed = (pipeline(sample_of(sentence)) for sentence in sentences)
    while some := list(islice(packed, batch_size)):
        batch = model.data_preprocessor(collate(some), False)
        vectors = model.extract_text_feat(batch['inputs']['tokens'])
        for sample, vector in zip(batch['data_samples'], vectors, strict=True):
            sample.features = vector
            samples.append(sample)
    report_cut(samples)
    return stacked_vectors(samples)


def stacked_vectors(samples: Sequence[RetrievalDataSample]) -> Tensor:
    """Stack the vectors of queries.

    Args:
        samples (Sequence[RetrievalDataSample]): Q embedded queries.

    Returns:
        Tensor: Of shape (Q, D), float32, on the CPU.

    Raises:
        ValueError: If one is not finite.
    """
    query = torch.stack([sample.features for sample in samples])
    if not query.isfinite().all():
        raise ValueError(
            'The embedding of a query is not finite: the weights may be '
            'damaged. Look at the checkpoint.'
        )
    return query.float().cpu()


def report_odd(queries: Sequence[Query], pipeline: Any) -> None:
    """Tell of sentences that are paths or have letters nobody taught.

    Args:
        queries (Sequence[str | dict]): Checked queries.
        pipeline (Callable): From an entry to a packed sample; the vocabulary
            is that of its tokenizer.
    """
    warn_of_paths(queries)
    tokenizer: Any = next(
        (
            part.tokenizer
            for part in getattr(pipeline, 'transforms', ())
            if getattr(part, 'source', None) == 'caption'
            and hasattr(part, 'tokenizer')
        ),
        None,
    )
    sentences = [sentence_of(query) for query in queries]
    sentences += [
        query['negative_text']
        for query in queries
        if isinstance(query, dict) and 'negative_text' in query
    ]
    for sentence in sentences if tokenizer else ():
        letters = unknown_characters(tokenizer, sentence)
        if letters:
            told = ' '.join(letters[:10]) + (' ...' if letters[10:] else '')
            warn(
                f'The vocabulary of the model has no token for {len(letters)} '
                f'letters of "{shortened(sentence)}": {told}. It spells them '
                'in parts or leaves them out. A sentence in another language '
                'than that of the training finds little: translate it.'
            )
