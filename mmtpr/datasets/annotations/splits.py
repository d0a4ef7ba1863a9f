"""Splits of the records of an annotation file."""

from collections import Counter
from collections.abc import Iterable, Sequence

from .records import GUIDE, SPLITS, PersonRecord


def split_by_order(
    records: Sequence[PersonRecord], num_pids: Sequence[int], path: str
) -> list[PersonRecord]:
    """Name the splits of a file that has none by the order of identities.

    Args:
        records (Sequence[PersonRecord]): Records without split.
        num_pids (Sequence[int]): Identities of train, val and test, in the
            order of their numbers.
        path (str): The file, for messages.

    Returns:
        list[PersonRecord]: The records with their split.

    Raises:
        ValueError: If the file has another number of identities.
    """
    pids = _ordered(record.pid for record in records)
    if len(pids) != sum(num_pids):
        raise ValueError(
            f'"{path}" names no splits, and its {len(pids)} identities do '
            f'not match split_pids={tuple(num_pids)}, together '
            f'{sum(num_pids)}. Set split_pids to the numbers of identities '
            f'in train, val and test, or use reid_raw.json. See {GUIDE}.'
        )
    names = [
        name
        for name, number in zip(SPLITS, num_pids, strict=True)
        for _ in range(number)
    ]
    of_pid = dict(zip(pids, names, strict=True))
    return [r._replace(split=of_pid[r.pid]) for r in records]


def carve_val(
    records: Sequence[PersonRecord], num_pids: int, path: str
) -> list[PersonRecord]:
    """Set training identities aside as a val split.

    The identities are evenly spaced among the sorted ones, so every dataset
    made from the same file and number agrees on them.

    Args:
        records (Sequence[PersonRecord]): Records with their split.
        num_pids (int): Identities to set aside.
        path (str): The file, for messages.

    Returns:
        list[PersonRecord]: The records, some moved from train to val.

    Raises:
        ValueError: If there is a val split, or too few identities.
    """
    if any(r.split == 'val' for r in records):
        raise ValueError(
            f'"{path}" has a val split of its own; remove val_pids='
            f'{num_pids} from the config.'
        )
    pids = _ordered(r.pid for r in records if r.split == 'train')
    if num_pids >= len(pids):
        raise ValueError(
            f'val_pids={num_pids} leaves no training identity: "{path}" has '
            f'{len(pids)} of them.'
        )
    chosen = {pids[i * len(pids) // num_pids] for i in range(num_pids)}
    return [
        r._replace(split='val')
        if r.split == 'train' and r.pid in chosen
        else r
        for r in records
    ]


def take_split(
    records: Iterable[PersonRecord], split: str, path: str
) -> list[PersonRecord]:
    """Keep the records of one split.

    Args:
        records (Iterable[PersonRecord]): Records with their split.
        split (str): The split.
        path (str): The file, for messages.

    Returns:
        list[PersonRecord]: At least one record.

    Raises:
        ValueError: If there is none, listing the splits that were found.
    """
    records = list(records)
    chosen = [r for r in records if r.split == split]
    if chosen:
        return chosen
    found = Counter(r.split for r in records)
    listed = ', '.join(
        f'{name or "(unnamed)"} ({number} images)'
        for name, number in sorted(found.items())
    )
    hint = (
        ' A val split can be set aside from training identities: give '
        'val_pids=N to the train and to the val dataset.'
        if split == 'val'
        else ''
    )
    raise ValueError(
        f'"{path}" has no split "{split}"; it has {listed}.{hint} See {GUIDE}.'
    )


def _ordered(pids: Iterable[int | str]) -> list[int | str]:
    return sorted(set(pids), key=lambda pid: (isinstance(pid, str), pid))
