"""Rows of a batch that are queries of image and sentence, or gallery items."""

from collections.abc import Sequence

from torch import Tensor

from .retrieval_data_sample import RetrievalDataSample


def rows_of_queries(
    inputs: dict[str, Tensor], is_query: Sequence[bool] | None = None
) -> tuple[list[int], list[int], list[int]]:
    """Find the samples that have both image and caption.

    Args:
        inputs (dict): Output of the data preprocessor.
        is_query (Sequence[bool], optional): Which samples are asked for.
            Defaults to None, all.

    Returns:
        tuple[list[int], list[int], list[int]]: Rows of ``image``, rows of
        ``tokens``, and positions of the samples in the batch.
    """
    if 'image' not in inputs or 'tokens' not in inputs:
        return [], [], []
    images, tokens = (
        {position: row for row, position in enumerate(_index(inputs, name))}
        for name in ('image', 'tokens')
    )
    found = [
        position
        for position in sorted(images.keys() & tokens.keys())
        if is_query is None or is_query[position]
    ]
    return [images[i] for i in found], [tokens[i] for i in found], found


def _index(inputs: dict[str, Tensor], name: str) -> list[int]:
    index = inputs.get(f'{name}_index')
    return list(range(len(inputs[name]))) if index is None else index.tolist()


def query_rows(
    inputs: dict[str, Tensor], samples: Sequence[RetrievalDataSample]
) -> tuple[list[int], list[int], list[RetrievalDataSample]]:
    """Find the queries of a test batch.

    Args:
        inputs (dict): Output of the data preprocessor.
        samples (Sequence[RetrievalDataSample]): The batch.

    Returns:
        tuple: Rows of ``image``, rows of ``tokens``, and the queries.

    Raises:
        ValueError: If one lacks image or caption.
    """
    is_query = [sample.get('role') == 'query' for sample in samples]
    images, tokens, found = rows_of_queries(inputs, is_query)
    queries = [i for i, wanted in enumerate(is_query) if wanted]
    if found != queries:
        lost = min(set(queries) - set(found))
        raise ValueError(_incomplete_message(samples[lost]))
    return images, tokens, [samples[i] for i in queries]


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
    if len(rows) != len(items):
        lost = min(items - set(index))
        raise ValueError(_incomplete_message(samples[lost]))
    return rows, [samples[index[row]] for row in rows]


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
