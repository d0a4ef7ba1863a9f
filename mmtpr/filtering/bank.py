"""The bank: captions of the target domain that a pair has to beat."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log

from mmtpr.text.characters import is_blank
from mmtpr.utils import read_json

#: Size of the bank in the paper.
BANK_SIZE = 10_000


def sample_bank(
    captions: Iterable[str],
    size: int = BANK_SIZE,
    seed: int = 0,
    *,
    allow_smaller: bool = False,
    source: str = 'the captions',
) -> list[str]:
    """Draw a bank without replacement from the different captions.

    A caption's place is decided by a hash of the seed and its text. So the
    draw is the same on every machine and in every order of the captions, and
    a smaller bank of the same seed is the beginning of a larger one.

    Args:
        captions (Iterable[str]): Training captions of the target domain.
            Repeated and empty ones count once and not at all; the log says
            how many these are.
        size (int): Captions to draw. Defaults to 10,000.
        seed (int): Seed of the draw. Defaults to 0.
        allow_smaller (bool): Take all captions where there are fewer than
            ``size``. Defaults to False.
        source (str): Where the captions come from, for the message.

    Returns:
        list[str]: The bank.

    Raises:
        ValueError: If there are fewer different captions than asked for.
    """
    if size < 1:
        raise ValueError(f'The size of a bank must be positive, got {size}.')
    given = list(captions)
    said = [caption for caption in given if not is_blank(caption)]
    unique = set(said)
    if len(unique) < len(given):
        print_log(
            f'Bank, from {source}: of {len(given)} entries '
            f'{len(said) - len(unique)} repeat an earlier one and '
            f'{len(given) - len(said)} are empty; it is drawn from the '
            f'{len(unique)} different ones.',
            logger='current',
        )
    if len(unique) < size and not (allow_smaller and unique):
        raise ValueError(
            f'A bank of {size} captions was asked for, but {source} hold '
            f'only {len(unique)} different ones. Ask for fewer (bank size), '
            'take all there are (allow a smaller bank), or name a larger '
            'source.'
        )
    return sorted(unique, key=lambda text: _place(text, seed))[:size]


def own_indices(captions: Sequence[str], bank: Sequence[str]) -> torch.Tensor:
    """Find each pair's own caption in the bank, by its text.

    Args:
        captions (Sequence[str]): Captions of N pairs.
        bank (Sequence[str]): The bank.

    Returns:
        Tensor: Indices into the bank, (N, ), long, -1 where it is not there.
    """
    place = {text: index for index, text in enumerate(bank)}
    return torch.tensor(
        [place.get(text, -1) for text in captions], dtype=torch.long
    )


def read_captions(path: str | os.PathLike, what: str = 'bank') -> list[str]:
    """Read captions from a file.

    Args:
        path (str | PathLike): ``.txt`` with one caption a line, or ``.json``
            with a list of captions or of records with a ``caption`` or
            ``captions``, as the annotation files of person retrieval are.
        what (str): What the file is, for messages. Defaults to 'bank'.

    Returns:
        list[str]: The captions.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the content is something else.
    """
    path = Path(path)
    if path.suffix == '.txt':
        if not path.is_file():
            raise FileNotFoundError(f'The {what} "{path}" does not exist.')
        try:
            lines = path.read_text(encoding='utf-8-sig').splitlines()
        except UnicodeDecodeError as error:
            raise ValueError(
                f'The {what} "{path}" is no UTF-8 text (byte {error.start}). '
                'Save it as UTF-8.'
            ) from error
        return [line.strip() for line in lines if not is_blank(line)]
    if path.suffix != '.json':
        raise ValueError(
            f'The {what} "{path}" must be a .json or .txt file of captions, '
            'or a .py config whose training captions are taken.'
        )
    records = read_json(path, what)
    if not isinstance(records, list):
        raise ValueError(f'The {what} "{path}" must hold a json list.')
    captions: list[str] = []
    for index, record in enumerate(records):
        captions.extend(_captions(record, index, path, what))
    return captions


def _captions(record: Any, index: int, path: Path, what: str) -> list[str]:
    if isinstance(record, dict):
        record = record.get('captions', record.get('caption'))
    texts = record if isinstance(record, list) else [record]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(
            f'Entry {index} of the {what} "{path}" holds no caption.'
        )
    return texts


def _place(text: str, seed: int) -> bytes:
    encoded = f'{seed}:{text}'.encode('utf-8', 'surrogatepass')
    return hashlib.blake2b(encoded, digest_size=16).digest()
