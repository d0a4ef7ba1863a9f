"""Files of triplets, in both directions, written one by one."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np

from mmtpr.utils import atomic_write

from ..block_files import Row

#: Names of the files by what they hold.
TRAIN, VAL, ALL = 'SynCPR.json', 'SynCPR_val.json', 'SynCPR_all.json'
_VAL = 51  # stream of randomness


def triplets_of(record: Row, pair: Row) -> Iterator[dict[str, Any]]:
    """Write a pair as triplets, there and back.

    Args:
        record (dict): Of the first stage.
        pair (dict): Of the second.

    Yields:
        dict: A triplet in the layout of SynCPR. Triplets of a record share
        their ``cpr_id`` in each direction.
    """
    there = ('reference', 'target', 'edit')
    back = ('target', 'reference', 'reverse_edit')
    for way, (first, second, edit) in enumerate((there, back)):
        yield dict(
            reference_caption=record[f'{first}_caption'],
            target_caption=record[f'{second}_caption'],
            reference_image_path=pair[f'{first}_image'],
            target_image_path=pair[f'{second}_image'],
            edit_caption=record[edit],
            cpr_id=2 * record['index'] + way,
            synthetic=True,
            pair=pair['key'],
        )


def val_records(indices: np.ndarray, share: float, seed: int) -> set[int]:
    """Draw the records whose triplets are val.

    Args:
        indices (ndarray): Record of each pair that has triplets, (N, ).
        share (float): Share of them.
        seed (int): Of the draw.

    Returns:
        set[int]: Indices, at least one where the share is not 0.
    """
    ordered = np.unique(indices)
    if not share or len(ordered) < 2:
        return set()
    count = min(len(ordered) - 1, max(1, round(share * len(ordered))))
    order = np.random.default_rng([seed, _VAL]).permutation(ordered)
    return set(order[:count].tolist())


class TripletFile:
    """A json list that grows by one triplet after the other.

    Args:
        file (IO): Open for writing text.

    Attributes:
        length (int): Triplets so far.
    """

    def __init__(self, file: IO) -> None:
        self._file = file
        self.length = 0

    def add(self, triplet: dict[str, Any]) -> None:
        """Write a triplet.

        Args:
            triplet (dict): The triplet.
        """
        text = json.dumps(triplet, ensure_ascii=False)
        self._file.write(f'{"," if self.length else "["}\n{text}')
        self.length += 1

    def end(self) -> None:
        """Close the list."""
        self._file.write('\n]\n' if self.length else '[]\n')


def read_triplets(
    file: IO[bytes], stop: int | None = None
) -> Iterator[dict[str, Any]]:
    """Read triplets one by one, from where a file of them stands.

    Args:
        file (IO[bytes]): Made by :class:`TripletFile`: one a line.
        stop (int, optional): Byte to stop at. Defaults to None, the end.

    Yields:
        dict: A triplet.
    """
    place = file.tell()
    for line in file:
        if stop is not None and place >= stop:
            return
        place += len(line)
        if line[:1] == b'{':
            yield json.loads(line.rstrip(b',\n'))


class TextSpool:
    """Texts that wait in a file without a name, in the order they came.

    Args:
        folder (Path): Where there is room.
    """

    def __init__(self, folder: Path) -> None:
        self._file = TemporaryFile(  # noqa: SIM115 (lives on)
            'w+', dir=folder, encoding='utf-8'
        )

    def add(self, text: str) -> None:
        """Keep a text.

        Args:
            text (str): The text.
        """
        self._file.write(f'{json.dumps(text)}\n')

    def __iter__(self) -> Iterator[str]:
        self._file.seek(0)
        return map(json.loads, self._file)

    def close(self) -> None:
        """Forget the texts."""
        self._file.close()


@contextmanager
def triplet_file(path: Path) -> Iterator[TripletFile]:
    """Open a file of triplets that appears whole or not at all.

    Args:
        path (Path): The file.

    Yields:
        TripletFile: To add triplets to.
    """
    with atomic_write(path, 'w') as file:
        triplets = TripletFile(file)
        yield triplets
        triplets.end()
