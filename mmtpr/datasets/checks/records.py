"""Findings among the records of a split, whatever the images show."""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from mmtpr.text.clip_tokenizer import build_tokenizer
from mmtpr.text.config_tokenizers import tokenizer_nodes, tokenizer_request
from mmtpr.utils.progress import progress

from ..annotations.records import PersonRecord


def shared_captions(records: Iterable[PersonRecord]) -> list[dict]:
    """Find captions that several persons share.

    Captions are compared without case and surrounding white space.

    Args:
        records (Iterable[PersonRecord]): Records of a split.

    Returns:
        list[dict]: ``caption`` and ``pids``, most shared first.
    """
    owners: dict[str, set] = {}
    for record in records:
        for caption in record.captions:
            key = ' '.join(caption.lower().split())
            owners.setdefault(key, set()).add(record.pid)
    shared = [
        dict(caption=caption, pids=sorted(pids, key=str))
        for caption, pids in owners.items()
        if len(pids) > 1
    ]
    return sorted(shared, key=lambda item: -len(item['pids']))


def images_of_several_persons(
    records: Iterable[PersonRecord],
    locate: Callable[[str], str] | None = None,
) -> list[str]:
    """Find images that are listed under several identities.

    Args:
        records (Iterable[PersonRecord]): Records of a split.
        locate (Callable, optional): From the path of a record to that on the
            disk, where links to one file are told. Defaults to None, which
            looks at the names alone.

    Returns:
        list[str]: Path and identities of each.
    """
    owners: dict[Any, tuple[str, set]] = {}
    for record in records:
        path = os.path.normpath(record.path)  # a/../b is b
        file = _file_of(locate(record.path)) if locate else None
        owners.setdefault(file or path, (path, set()))[1].add(record.pid)
    return [
        f'{path}: {", ".join(sorted(map(str, pids)))}'
        for path, pids in owners.values()
        if len(pids) > 1
    ]


def _file_of(path: str) -> tuple[int, int] | None:
    """What all links to a file share; None where there is none."""
    try:
        facts = os.stat(path)
    except (OSError, ValueError):
        return None
    return facts.st_dev, facts.st_ino


def repeated_records(records: Iterable[PersonRecord]) -> list[str]:
    """Find records that say the same again.

    Args:
        records (Iterable[PersonRecord]): Records of a split.

    Returns:
        list[str]: Path and number of each, once.
    """
    times = Counter((r.path, r.pid, r.captions) for r in records)
    return [f'{path}: {n} times' for (path, *_), n in times.items() if n > 1]


def paths_by_case(records: Iterable[PersonRecord]) -> list[str]:
    """Find file names that differ in nothing but their case.

    On a disk that does not mind the case they are one file.

    Args:
        records (Iterable[PersonRecord]): Records of a split.

    Returns:
        list[str]: The names that fall together, as one text each.
    """
    names: dict[str, dict[str, None]] = {}
    for record in records:
        names.setdefault(record.path.lower(), {})[record.path] = None
    return [' and '.join(same) for same in names.values() if len(same) > 1]


def cut_captions(
    records: Iterable[PersonRecord], pipeline: Any
) -> list[str] | None:
    """Find captions that the tokenizer of a pipeline cuts.

    Args:
        records (Iterable[PersonRecord]): Records of a split.
        pipeline (list[dict]): Configs of transforms.

    Returns:
        list[str] | None: Path and caption of each; None where the pipeline
        has no tokenizer, or none that is at hand.
    """
    kinds = ('TokenizeCaption', 'TokenizeBert')
    node = next(tokenizer_nodes(pipeline, kinds), None)
    if node is None:
        return None
    tokenizer, length = tokenizer_request(node)
    try:
        short: Any = build_tokenizer(tokenizer, length)
        longer: Any = build_tokenizer(tokenizer, short.context_length + 1)
    except (ImportError, OSError, ValueError):
        return None
    padding = short([''])[0, -1]
    found = []
    told = [(r.path, caption) for r in records for caption in r.captions]
    with progress(len(told), 'Tokenizing captions') as done:
        for path, caption in told:
            done(1)
            # One token more in a longer row: the caption did not end before.
            if short([caption])[0, -1] == padding:
                continue
            if longer([caption])[0, -1] != padding:
                found.append(f'{path}: {caption[:60]!r}')
    return found
