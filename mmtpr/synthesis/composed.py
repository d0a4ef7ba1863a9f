"""Annotations of composed retrieval, in the layouts of SynCPR and ITCPR."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from .changes import Change, ChangeWriter, change_outfit
from .identities import VOCABULARY, Identity
from .layouts import Shot
from .world import ProceduralWorld

_CHANGES, _SENTENCE, _ANOTHER = 21, 22, 23  # streams of randomness


@dataclass(frozen=True)
class Wardrobe:
    """Outfits of one person.

    Args:
        outfits (tuple[Identity, ...]): The first one is worn in the reference
            images.
        changes (tuple[list[Change], ...]): What is different in each of the
            others.
    """

    outfits: tuple[Identity, ...]
    changes: tuple[list[Change], ...]


def dress(identity: Identity, number: int, seed: int) -> Wardrobe:
    """Give a person further outfits.

    Args:
        identity (Identity): The person.
        number (int): How many others.
        seed (int): Seed of the world.

    Returns:
        Wardrobe: ``number + 1`` outfits, no two of them equal.
    """
    rng = np.random.default_rng([seed, _CHANGES, identity.number])
    outfits, changes = [identity], []
    while len(outfits) <= number:
        after, different = change_outfit(identity, rng)
        if after not in outfits:
            outfits.append(after)
            changes.append(different)
    return Wardrobe(tuple(outfits), tuple(changes))


def tell(
    world: ProceduralWorld,
    before: Identity,
    after: Identity,
    changes: list[Change],
    *keys: int,
) -> str:
    """Write the sentence of a query.

    Args:
        world (ProceduralWorld): Gives the seed.
        before (Identity): The person in the reference image.
        after (Identity): The same in the target image.
        changes (list[Change]): What is different.
        *keys (int): Which sentence; others are worded differently.

    Returns:
        str: An English sentence.
    """
    rng = np.random.default_rng([world.seed, _SENTENCE, before.number, *keys])
    return ChangeWriter(before, rng).tell(after, changes)


def syncpr_layout(
    world: ProceduralWorld, people: list[Identity], views: int = 2
) -> tuple[list[dict], list[Shot]]:
    """Lay out triplets like ``SynCPR.json``.

    Each person has two outfits, and each is the target of triplets whose
    reference is the other one. Triplets of the same person and target outfit
    share their ``cpr_id``; they differ in both images and in the wording.

    Args:
        world (ProceduralWorld): Describes the people.
        people (list[Identity]): Who is seen.
        views (int): Images of each outfit, and triplets of each
            ``cpr_id``. Defaults to 2.

    Returns:
        tuple[list[dict], list[Shot]]: Triplets and the images they need,
        the latter below ``imgs/``.
    """
    records, shots = [], []
    for index, person in enumerate(people):
        wardrobe = dress(person, 1, world.seed)
        images = [
            _shots(outfit, index + 1, i, views)
            for i, outfit in enumerate(wardrobe.outfits)
        ]
        shots += [shot for row in images for shot in row]
        forth = wardrobe.changes[0]
        back = [change.reversed() for change in forth]
        for source, changes in enumerate((forth, back)):
            before, after = images[source], images[1 - source]
            records += [
                _triplet(
                    world, *pair, changes, 2 * index + 1 - source, source, view
                )
                for view, pair in enumerate(zip(before, after, strict=True))
            ]
    return records, shots


def _shots(outfit: Identity, pid: int, number: int, views: int) -> list[Shot]:
    """Images of an outfit; no two outfits of a person share a view."""
    return [
        Shot(outfit, number * views + i, f'imgs/{pid:05d}_{number}_{i}.jpg')
        for i in range(views)
    ]


def _triplet(
    world: ProceduralWorld,
    before: Shot,
    after: Shot,
    changes: list[Change],
    cpr_id: int,
    *keys: int,
) -> dict:
    return dict(
        reference_caption=world.describe(before.identity, before.view),
        target_caption=world.describe(after.identity, after.view),
        reference_image_path=before.path,
        target_image_path=after.path,
        edit_caption=tell(
            world, before.identity, after.identity, changes, *keys
        ),
        cpr_id=cpr_id,
    )


def itcpr_layout(
    world: ProceduralWorld,
    people: list[Identity],
    numbers: Iterator[int],
    changes: int = 2,
    views: int = 2,
) -> tuple[list[dict], list[dict], list[Shot]]:
    """Lay out queries and gallery like ITCPR's.

    The reference image of a person makes ``changes`` queries. For each the
    gallery holds one image of the person after the change and one of
    somebody else in the same clothes; and for each person ``views`` images
    before any change, the reference among them. The latter two kinds are
    distractors.

    Args:
        world (ProceduralWorld): Gives the seed.
        people (list[Identity]): Who is asked for.
        numbers (Iterator[int]): Numbers of further people, taken by no one.
        changes (int): Queries of each person. Defaults to 2.
        views (int): Images of each person before. Defaults to 2.

    Returns:
        tuple[list[dict], list[dict], list[Shot]]: Records of the queries, of
        the gallery, and the images they need, the latter below ``imgs/``.
    """
    queries: list[dict] = []
    gallery: list[dict] = []
    shots: list[Shot] = []

    def show(shot: Shot, person_id: int, instance_id: int = -1) -> None:
        gallery.append(_item(shot, person_id, instance_id))
        shots.append(shot)

    for index, person in enumerate(people):
        wardrobe, pid = dress(person, changes, world.seed), index + 1
        unchanged = _shots(person, pid, 0, views)
        for shot in unchanged:
            show(shot, pid)
        for i, different in enumerate(wardrobe.changes, 1):
            after, instance_id = wardrobe.outfits[i], len(queries) + 1
            show(_shots(after, pid, i, views)[0], pid, instance_id)
            other_id = len(people) + instance_id
            other = same_clothes(after, next(numbers), world.seed)
            show(_shots(other, other_id, 0, 1)[0], other_id)
            text = tell(world, person, after, different, i)
            query = _item(unchanged[0], pid, instance_id)
            queries.append(dict(query, caption=text))
    return queries, gallery, shots


def _item(shot: Shot, person_id: int, instance_id: int) -> dict:
    return dict(
        file_path=shot.path,
        datasets='toy',
        person_id=person_id,
        instance_id=instance_id,
    )


def same_clothes(identity: Identity, number: int, seed: int) -> Identity:
    """Find somebody else who wears the same.

    Args:
        identity (Identity): The person.
        number (int): Number of the other one, hence another look.
        seed (int): Seed of the world.

    Returns:
        Identity: A person with hair of another colour, and in half of the
        cases each of another length and of the other gender.
    """
    rng = np.random.default_rng([seed, _ANOTHER, number])
    colours = [
        c for c in VOCABULARY['hair_colour'] if c != identity.hair_colour
    ]
    other = replace(
        identity,
        number=number,
        hair_colour=colours[rng.integers(len(colours))],
    )
    if rng.random() < 0.5:
        lengths = dict(long='short', short='long')
        other = replace(other, hair_length=lengths[other.hair_length])
    if rng.random() < 0.5 and other.bottom != 'skirt':
        genders = dict(man='woman', woman='man')
        other = replace(other, gender=genders[other.gender])
    return other
