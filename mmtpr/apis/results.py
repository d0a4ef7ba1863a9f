"""From scores to what is handed out, drawn and logged."""

import logging
from collections.abc import Sequence
from typing import Any

from mmengine.logging import print_log
from torch import Tensor

from mmtpr.structures import RetrievalDataSample


def name_best(
    sample: RetrievalDataSample,
    scores: Tensor,
    indices: Tensor,
    paths: Sequence[str],
) -> dict[str, Any]:
    """Name the best images for a query.

    Args:
        sample (RetrievalDataSample): The query.
        scores (Tensor): Of shape (K, ), best first; -inf leaves an image out.
        indices (Tensor): The images, (K, ).
        paths (Sequence[str]): The N images of the gallery.

    Returns:
        dict: ``query``, ``paths`` and ``scores``, best first, and
        ``reference`` where the query has an image.
    """
    finite = scores.isfinite()
    found = dict(
        query=sample.caption,
        paths=[paths[place] for place in indices[finite].tolist()],
        scores=scores[finite].tolist(),
    )
    if sample.get('img_path'):
        found['reference'] = sample.img_path
    return found


def to_draw(prediction: dict[str, Any]) -> dict[str, Any]:
    """Turn a prediction into what :func:`draw_rankings` takes.

    Args:
        prediction (dict): See :func:`name_best`.

    Returns:
        dict: The query with its ranking.
    """
    pairs = zip(prediction['paths'], prediction['scores'], strict=True)
    items = [dict(img_path=path, score=score) for path, score in pairs]
    query = dict(caption=prediction['query'], ranking=items)
    if 'reference' in prediction:
        query['img_path'] = prediction['reference']
    return query


def report_cut(samples: Sequence[RetrievalDataSample]) -> None:
    """Log the sentences that were too long.

    Args:
        samples (Sequence[RetrievalDataSample]): The queries.
    """
    for sample in samples:
        if sample.get('caption_cut'):
            print_log(
                f'The sentence "{sample.caption}" is too long for the text '
                'tower; its end is left out.',
                logger='current',
                level=logging.WARNING,
            )
