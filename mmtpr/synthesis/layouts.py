"""Annotations of synthetic datasets, in the layouts of the real ones."""

import re
from dataclasses import dataclass

import numpy as np

from .base import PedestrianGenerator
from .identities import Identity

#: Kinds of pairs in a noisy set; ``truth.json`` holds indices into it.
PAIR_KINDS = ('right', 'another', 'three', 'one')
_ERRORS = {'right': 0, 'three': 3, 'one': 1}


@dataclass(frozen=True)
class Shot:
    """One image to be drawn.

    Args:
        identity (Identity): Who is seen.
        view (int): Which image of this person.
        path (str): Where it goes, relative to the dataset's folder.
    """

    identity: Identity
    view: int
    path: str


def cuhk_layout(
    generator: PedestrianGenerator,
    splits: dict[str, list[Identity]],
    views: int = 3,
    captions: int = 2,
) -> tuple[list[dict], list[Shot]]:
    """Lay out a dataset like CUHK-PEDES' ``reid_raw.json``.

    Args:
        generator (PedestrianGenerator): Writes the captions.
        splits (dict[str, list[Identity]]): People of each split.
        views (int): Images of each person. Defaults to 3.
        captions (int): Captions of each image. Defaults to 2.

    Returns:
        tuple[list[dict], list[Shot]]: Records and the images they need,
        the latter below ``imgs/``. Ids count from 1 over all splits.
    """
    records, shots, pid = [], [], 0
    for split, people in splits.items():
        for person in people:
            pid += 1
            for view in range(views):
                name = f'{split}/{pid:05d}_{view}.jpg'
                texts = [
                    generator.describe(person, view, index)
                    for index in range(captions)
                ]
                records.append(
                    dict(
                        split=split,
                        captions=texts,
                        file_path=name,
                        processed_tokens=[_words(text) for text in texts],
                        id=pid,
                    )
                )
                shots.append(Shot(person, view, f'imgs/{name}'))
    return records, shots


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9'-]+", text.lower())


def mals_layout(
    generator: PedestrianGenerator,
    people: list[Identity],
    views: int = 1,
    wrong: float = 0.3,
    seed: int = 0,
) -> tuple[list[dict], list[Shot], list[int]]:
    """Lay out a dataset like MALS, with a known share of wrong captions.

    A third of the wrong captions belong to another image, a third have
    three attributes wrong, a third have one.

    Args:
        generator (PedestrianGenerator): Writes the captions.
        people (list[Identity]): Who is seen.
        views (int): Images of each person. Defaults to 1.
        wrong (float): Share of wrong captions. Defaults to 0.3.
        seed (int): Seed of which pairs are wrong. Defaults to 0.

    Returns:
        tuple[list[dict], list[Shot], list[int]]: Records, the images they
        need, and the truth: for each record its index in ``PAIR_KINDS``.
    """
    rng = np.random.default_rng([seed, 2])
    pairs = [(person, view) for view in range(views) for person in people]
    truth = pair_kinds(len(pairs), wrong, rng)
    owners = caption_owners(truth, len(people), rng)
    records, shots = [], []
    for number, (person, view) in enumerate(pairs):
        kind = PAIR_KINDS[truth[number]]
        if kind == 'another':
            caption = generator.describe(people[owners[number]], view)
        else:
            caption = generator.describe(person, view, errors=_ERRORS[kind])
        name = f'imgs/{number // 1000:04d}/{number:07d}.jpg'
        records.append(
            dict(
                image=name,
                caption=caption,
                image_id=f'toy_{number}',
                label=person.label(),
            )
        )
        shots.append(Shot(person, view, name))
    return records, shots, truth


def caption_owners(
    kinds: list[int], num_people: int, rng: np.random.Generator
) -> list[int]:
    """Draw whom the captions of a dataset describe.

    Args:
        kinds (list[int]): Kind of each pair, an index into ``PAIR_KINDS``.
        num_people (int): Number of people; pair i shows number
            ``i % num_people``.
        rng (Generator): Source of randomness, that of :func:`pair_kinds`
            after it has drawn the kinds.

    Returns:
        list[int]: For each pair the number of the person its caption is
        about: the one seen but for captions of another person.
    """
    another = PAIR_KINDS.index('another')
    owners = []
    for number, kind in enumerate(kinds):
        step = int(rng.integers(1, num_people)) if kind == another else 0
        owners.append((number + step) % num_people)
    return owners


def pair_kinds(
    count: int, wrong: float, rng: np.random.Generator
) -> list[int]:
    """Draw which pairs are wrong and how.

    Args:
        count (int): Number of pairs.
        wrong (float): Share of wrong pairs, in [0, 1].
        rng (Generator): Source of randomness.

    Returns:
        list[int]: Indices into ``PAIR_KINDS``; the kinds of wrong pairs are
        equally frequent and their number is exact.
    """
    each = round(count * wrong / 3)
    kinds = np.zeros(count, int)
    order = rng.permutation(count)
    for kind in (1, 2, 3):
        kinds[order[(kind - 1) * each : kind * each]] = kind
    return kinds.tolist()
