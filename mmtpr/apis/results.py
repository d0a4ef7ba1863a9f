"""From scores to what is handed out, drawn and logged."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from mmtpr.structures import RetrievalDataSample
from mmtpr.structures.negatives import negative_of
from mmtpr.utils.warn import warn
from mmtpr.visualization import RetrievalVisualizer


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
        dict: ``query``, ``paths`` and ``scores``, best first,
        ``reference`` where the query has an image, and ``negative_text`` and
        ``negative_weight`` where it has these.
    """
    finite = scores.isfinite()
    found = dict(
        query=sample.caption,
        paths=[paths[place] for place in indices[finite].tolist()],
        scores=scores[finite].tolist(),
    )
    if sample.get('img_path'):
        found['reference'] = sample.img_path
    return found | negative_of(sample)


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
    query |= negative_of(prediction)
    if 'reference' in prediction:
        query['img_path'] = prediction['reference']
    return query


def draw_predictions(
    visualizer: RetrievalVisualizer,
    predictions: Sequence[dict],
    out_dir: str | os.PathLike | None = None,
    show: bool = False,
    wait_time: float = 0,
) -> list[np.ndarray]:
    """Draw predictions, one image a query.

    Args:
        visualizer (RetrievalVisualizer): What draws.
        predictions (Sequence[dict]): See :func:`name_best`.
        out_dir (str | PathLike, optional): Folder for PNGs.
        show (bool): Whether to open windows. Defaults to False.
        wait_time (float): Seconds a window stays. Defaults to 0, until a key
            is pressed.

    Returns:
        list[ndarray]: RGB images.
    """
    drawn = []
    for number, prediction in enumerate(predictions):
        name = f'{number:03d}_{_slug(prediction["query"])}'
        drawn.append(
            visualizer.add_ranking(
                name,
                [to_draw(prediction)],
                topk=len(prediction['paths']),
                out_file=Path(out_dir, f'{name}.png') if out_dir else None,
                show=show,
                wait_time=wait_time,
            )
        )
    return drawn


def _slug(text: str) -> str:
    return re.sub(r'\W+', '_', text.lower()).strip('_')[:40]


def check_count(name: str, value: Any) -> None:
    """Check a number of images.

    Args:
        name (str): Name of the argument.
        value (Any): Its value.

    Raises:
        ValueError: If it is no whole number of at least 1.
    """
    whole = isinstance(value, int | np.integer)
    if not whole or isinstance(value, bool):
        raise ValueError(f'{name} must be a whole number, got {value!r}.')
    if value < 1:
        raise ValueError(f'{name} must be at least 1, got {value}.')


def report_cut(samples: Sequence[RetrievalDataSample]) -> None:
    """Log the sentences that were too long.

    Args:
        samples (Sequence[RetrievalDataSample]): The queries.
    """
    for sample in samples:
        for name in ('caption', 'negative_text'):
            if not sample.get(f'{name}_cut'):
                continue
            sentence = sample.get(name)
            warn(
                f'The sentence "{shortened(sentence)}" of '
                f'{len(sentence):,} characters is too long for the text '
                'tower; its end is left out.'
            )


def shortened(text: str, most: int = 80) -> str:
    """Cut a text for a message.

    Args:
        text (str): The text.
        most (int): Characters that may stay. Defaults to 80.

    Returns:
        str: The text, or its beginning with dots.
    """
    return text if len(text) <= most else f'{text[: most - 3]}...'
