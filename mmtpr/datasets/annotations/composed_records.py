"""Checking the records of composed retrieval datasets."""

from collections.abc import Iterable, Iterator
from typing import Any

from mmtpr.text.characters import is_blank, is_empty_caption, is_nothing
from mmtpr.text.negative_text import check_negative

#: Page of the documentation that explains the datasets, named by errors.
COMPOSED_GUIDE = 'docs/user_guides/composed.md'
_CURES = {
    int: 'Write a whole number, without quotes.',
    str: 'Write the path of the image, or remove the record.',
}


def check_composed_records(
    records: Iterable[Any],
    required: dict[str, type],
    path: str,
    captions: tuple[str, ...] = (),
    empty_captions: str = 'error',
    several: tuple[str, ...] = (),
) -> tuple[list[dict], list[int]]:
    """Check keys and types of records, and that captions say something.

    Args:
        records (Iterable[dict]): Records of the file.
        required (dict[str, type]): Type of each key a record must have.
        path (str): The file, for messages.
        captions (tuple[str, ...]): Keys that hold a caption.
        empty_captions (str): ``'error'``, or ``'skip'`` to leave records
            without caption out. Defaults to ``'error'``.
        several (tuple[str, ...]): Keys that may hold a list of paths.

    Returns:
        tuple[list[dict], list[int]]: The records kept and the indices of
        those without caption.

    Raises:
        ValueError: Naming file, record index and key of what is wrong.
    """
    skipped: list[int] = []
    kept = iter_composed_records(
        records, required, path, captions, empty_captions, skipped, several
    )
    return list(kept), skipped


def iter_composed_records(
    records: Iterable[Any],
    required: dict[str, type],
    path: str,
    captions: tuple[str, ...],
    empty_captions: str,
    skipped: list[int],
    several: tuple[str, ...] = (),
) -> Iterator[dict]:
    """Check records one after the other.

    Args:
        records (Iterable[dict]): See :func:`check_composed_records`.
        required (dict[str, type]): Likewise.
        path (str): Likewise.
        captions (tuple[str, ...]): Likewise.
        empty_captions (str): Likewise.
        skipped (list[int]): Takes the indices of records without caption.
        several (tuple[str, ...]): Keys that may hold a list of paths.

    Yields:
        dict: The records kept.

    Raises:
        ValueError: Naming file, record index and key of what is wrong.
    """
    for index, record in enumerate(records):
        where = f'Record {index} of "{path}"'
        if not isinstance(record, dict):
            raise ValueError(
                f'{where} must be an object, found {type(record).__name__}. '
                f'See {COMPOSED_GUIDE}.'
            )
        _check_keys(record, required, where, several)
        text, weight = (
            record.get(f'negative_{x}') for x in ('text', 'weight')
        )
        check_negative(text, weight, where)
        sentences = {k: _sentence(record, k, where) for k in captions}
        empty = [k for k, said in sentences.items() if is_empty_caption(said)]
        if empty and empty_captions == 'error':
            raise ValueError(
                f'{where} has no caption under the key "{empty[0]}". Correct '
                'the file, or set empty_captions="skip". See '
                f'{COMPOSED_GUIDE}.'
            )
        if empty:
            skipped.append(index)
            continue
        for key, said in sentences.items():
            if record[key] is not said:  # a copy only where it says more
                record = {**record, key: said}
        yield record


def _check_keys(
    record: dict,
    required: dict[str, type],
    where: str,
    several: tuple[str, ...] = (),
) -> None:
    for key, kind in required.items():
        if key not in record:
            raise ValueError(
                f'{where} has no key "{key}". It has '
                f'{", ".join(sorted(map(str, record)))}. See '
                f'{COMPOSED_GUIDE}.'
            )
        value = record[key]
        if key in several and isinstance(value, list) and value:
            for one in value:  # each as if it were alone
                _check_keys({key: one}, {key: kind}, where)
            continue
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ValueError(
                f'{where}: the key "{key}" must hold {kind.__name__}, found '
                f'{type(value).__name__} {str(value)[:40]!r}. {_CURES[kind]} '
                f'See {COMPOSED_GUIDE}.'
            )
        if isinstance(value, str) and is_blank(value):
            raise ValueError(
                f'{where}: the key "{key}" is empty. {_CURES[str]} See '
                f'{COMPOSED_GUIDE}.'
            )


def _sentence(record: dict, key: str, where: str) -> str | None:
    """The sentence under a key; a list of one is that one."""
    said = record.get(key)
    if isinstance(said, list) and len(said) <= 1:
        said = said[0] if said else None
    if is_nothing(said) or isinstance(said, str):
        return said
    raise ValueError(
        f'{where}: the key "{key}" must hold a sentence, found '
        f'{type(said).__name__} {str(said)[:40]!r}. Write one sentence, or '
        f'a record for each. See {COMPOSED_GUIDE}.'
    )
