"""Rows of a batch that are queries of image and sentence, or gallery items."""

from collections.abc import Callable, Sequence

from torch import Tensor

from .image_paths import image_paths
from .query_parts import (
    mean_of_parts,
    negative_positions,
    subtract_negatives,
)
from .retrieval_data_sample import RetrievalDataSample


def rows_of_queries(
    inputs: dict[str, Tensor],
    is_query: Sequence[bool] | None = None,
    sentence: str = 'tokens',
) -> tuple[list[int], list[int], list[int]]:
    """Find the samples that have both image and caption.

    Args:
        inputs (dict): Output of the data preprocessor.
        is_query (Sequence[bool], optional): Which samples are asked for.
            Defaults to None, all.
        sentence (str): Name of the token ids. Defaults to ``'tokens'``.

    Returns:
        tuple[list[int], list[int], list[int]]: Rows of ``image``, rows of
        token ids, and positions of the samples in the batch; a sample with
        several images stands there once for each.
    """
    if 'image' not in inputs or sentence not in inputs:
        return [], [], []
    tokens = {i: row for row, i in enumerate(_index(inputs, sentence))}
    images: dict[int, list[int]] = {}
    for row, position in enumerate(_index(inputs, 'image')):
        images.setdefault(position, []).append(row)
    found = [
        (row, tokens[position], position)
        for position in sorted(images.keys() & tokens.keys())
        if is_query is None or is_query[position]
        for row in images[position]
    ]
    return (
        [row for row, _, _ in found],
        [row for _, row, _ in found],
        [position for _, _, position in found],
    )


def _index(inputs: dict[str, Tensor], name: str) -> list[int]:
    index = inputs.get(f'{name}_index')
    return list(range(len(inputs[name]))) if index is None else index.tolist()


def query_rows(
    inputs: dict[str, Tensor], samples: Sequence[RetrievalDataSample]
) -> tuple[list[int], list[int], list[int], list[RetrievalDataSample]]:
    """Find the queries of a test batch.

    Args:
        inputs (dict): Output of the data preprocessor.
        samples (Sequence[RetrievalDataSample]): The batch.

    Returns:
        tuple: Rows of ``image``, rows of ``tokens``, whose they are among
        the queries, and the queries; see :func:`mean_of_parts`.

    Raises:
        ValueError: If one lacks image or caption.
    """
    is_query = [sample.get('role') == 'query' for sample in samples]
    images, tokens, found = rows_of_queries(inputs, is_query)
    queries = [i for i, wanted in enumerate(is_query) if wanted]
    if sorted(set(found)) != queries:
        lost = min(set(queries) - set(found))
        raise ValueError(_incomplete_message(samples[lost]))
    place = {position: number for number, position in enumerate(queries)}
    owners = [place[position] for position in found]
    return images, tokens, owners, [samples[i] for i in queries]


def put_composed_negatives(
    samples: Sequence[RetrievalDataSample],
    inputs: dict[str, Tensor],
    embed: Callable[[Tensor, Tensor], Tensor],
) -> None:
    """Take what is not wanted out of queries of image and sentence.

    A negative is composed with the images of its query.

    Args:
        samples (Sequence[RetrievalDataSample]): The batch, with ``features``.
        inputs (dict): Output of the data preprocessor.
        embed (Callable): From images (n, 3, H, W) and token ids (n, L) to
            vectors (n, D) of length one.

    Raises:
        ValueError: If one has no tokens, or no image.
    """
    told = negative_positions(samples, inputs)
    if not told:
        return
    rows, token_rows, found = rows_of_queries(inputs, None, 'negative_tokens')
    if sorted(set(found)) != told:
        lost = min(set(told) - set(found))
        raise ValueError(_incomplete_message(samples[lost]))
    place = {position: number for number, position in enumerate(told)}
    vectors = embed(
        inputs['image'][rows], inputs['negative_tokens'][token_rows]
    )
    owners = [place[position] for position in found]
    subtract_negatives(
        [samples[i] for i in told], mean_of_parts(vectors, owners, len(told))
    )


def gallery_rows(
    inputs: dict[str, Tensor], samples: Sequence[RetrievalDataSample]
) -> tuple[list[int], list[RetrievalDataSample]]:
    """Find the gallery items of a test batch: whatever is no query.

    Args:
        inputs (dict): Output of the data preprocessor.
        samples (Sequence[RetrievalDataSample]): The batch.

    Returns:
        tuple: Rows of ``image``, and the items.

    Raises:
        ValueError: If one lacks its image.
    """
    items = {i for i, s in enumerate(samples) if s.get('role') != 'query'}
    index = inputs['image_index'].tolist() if 'image' in inputs else []
    rows = [row for row, i in enumerate(index) if i in items]
    if len(rows) > len({index[row] for row in rows}):
        several = next(s for s in samples if _has_several(s))
        raise ValueError(
            f'The gallery item {several.get("img_path")} has several images: '
            'only queries may; make an item of each.'
        )
    if len(rows) != len(items):
        lost = min(items - set(index))
        raise ValueError(_incomplete_message(samples[lost]))
    return rows, [samples[index[row]] for row in rows]


def _has_several(sample: RetrievalDataSample) -> bool:
    is_query = sample.get('role') == 'query'
    return not is_query and len(image_paths(sample.get('img_path'))) > 1


def _incomplete_message(sample: RetrievalDataSample) -> str:
    if sample.get('role') != 'query':
        return (
            f'The gallery item "{sample.get("img_path")}" has no image: add '
            'an image loader to the pipeline.'
        )
    return (
        f'The query "{sample.get("caption")}" with the reference '
        f'"{sample.get("img_path")}" needs both, an image and tokens: the '
        'pipeline must load the image and tokenize the caption, and the '
        'annotations must have them.'
    )
