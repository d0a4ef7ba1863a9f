"""Assignment of predictions to samples."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from .retrieval_data_sample import RetrievalDataSample

#: Kind of embedding -> where its rows belong, in the preprocessor's output.
_INDEX = {'image': 'image_index', 'text': 'tokens_index'}


def put_rows(
    samples: Sequence[RetrievalDataSample], fields: Mapping[str, Tensor]
) -> None:
    """Give each sample its row of every field.

    Args:
        samples (Sequence[RetrievalDataSample]): B samples, changed in place.
        fields (Mapping[str, Tensor]): Name -> B rows.
    """
    for name, rows in fields.items():
        for sample, row in zip(samples, rows, strict=True):
            _put(sample, name, row)


def put_by_kind(
    samples: Sequence[RetrievalDataSample],
    inputs: dict[str, Tensor],
    encoded: Mapping[str, Mapping[str, Tensor]],
) -> None:
    """Give each sample what was made of its image or of its caption.

    A query gets that of its caption, any other sample that of its image, or
    of its caption if it has no image.

    Args:
        samples (Sequence[RetrievalDataSample]): The batch, changed in place.
        inputs (dict): Output of the data preprocessor.
        encoded (Mapping[str, Mapping[str, Tensor]]): ``'image'`` and
            ``'text'`` -> name of a field -> a row for each image or
            caption of the batch.

    Raises:
        ValueError: If a sample has nothing to embed.
    """
    found = {
        kind: _by_position(inputs[_INDEX[kind]], fields)
        for kind, fields in encoded.items()
    }
    images, texts = found.get('image', {}), found.get('text', {})
    for position, sample in enumerate(samples):
        is_query = sample.get('role') == 'query'
        first, second = (texts, {}) if is_query else (images, texts)
        fields = first.get(position) or second.get(position)
        if fields is None:
            raise ValueError(_nothing_message(sample))
        for name, row in fields.items():
            _put(sample, name, row)


def _by_position(index: Tensor, fields: Mapping[str, Tensor]) -> dict:
    rows = zip(index.tolist(), *fields.values(), strict=True)
    return {
        position: dict(zip(fields, row, strict=True))
        for position, *row in rows
    }


def _put(sample: RetrievalDataSample, name: str, row: Tensor) -> None:
    """A row of its own: a view would carry the batch along."""
    setattr(sample, name, row.clone())


def _nothing_message(sample: RetrievalDataSample) -> str:
    if sample.get('role') == 'query':
        return (
            f'The query "{sample.get("caption")}" has no tokens: add '
            "'mmtpr.TokenizeCaption' to the test pipeline."
        )
    return (
        f'The sample "{sample.get("img_path")}" has neither image nor '
        'tokens: add an image loader to the pipeline.'
    )
