"""Triplets of reference, target and sentence from captioned images."""

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from mmtpr.utils.progress import progress

from ..annotations.records import PersonRecord
from .outfits import OPTIONAL_SLOTS, SLOTS, Outfit, Thing, read_outfit

_CLOTHES = tuple(i for i, s in enumerate(SLOTS) if s not in OPTIONAL_SLOTS)
#: Looks tried for each that is wanted.
_TRIES = 20
_SWAPS = (
    'wearing {new} instead of {old}',
    'now in {new}, not in {old}',
    'in {new} rather than {old}',
    'with {new} in place of {old}',
)
_GAINS = ('with {new} as well', 'carrying or wearing {new} too')
_LOSSES = ('without {old}', '{old} is not there')


@dataclass(frozen=True)
class Look:
    """Images of one person in one outfit.

    Attributes:
        pid (int | str): The person.
        outfit (Outfit): What the captions say.
        records (tuple[PersonRecord, ...]): The images.
    """

    pid: int | str
    outfit: Outfit
    records: tuple[PersonRecord, ...]


def find_looks(records: Iterable[PersonRecord]) -> list[Look]:
    """Group images by person and outfit.

    Args:
        records (Iterable[PersonRecord]): Images with their captions.

    Returns:
        list[Look]: Those of whose clothes the captions say something.
    """
    found = defaultdict(list)
    for record in records:
        outfit = read_outfit(record.captions)
        if any(outfit.things[i] for i in _CLOTHES):
            found[record.pid, outfit].append(record)
    return [Look(*key, tuple(images)) for key, images in found.items()]


def draw_changes(
    looks: Sequence[Look],
    per_look: int,
    rng: random.Random,
    max_changes: int = 1,
    same_person: bool = False,
    allowed: Callable[[int], bool] | None = None,
) -> Iterator[tuple[int, list[int]]]:
    """Draw looks that differ from another in little.

    All that the captions mention is equal but for 1 to ``max_changes``
    things, and at least one piece of clothing stays. Between different
    persons, both are men or both are women.

    Args:
        looks (Sequence[Look]): The looks.
        per_look (int): Targets of each, at most.
        rng (Random): Draws them.
        max_changes (int): Things that may differ. Defaults to 1.
        same_person (bool): Whether both looks are of one person, or of two.
            Defaults to False.
        allowed (Callable, optional): Whether the look of a number may be a
            target. Defaults to None, all.

    Yields:
        tuple[int, list[int]]: Number of a reference look and those of its
        targets.
    """
    buckets = defaultdict(list)
    for number, look in enumerate(looks):
        if allowed is None or allowed(number):
            for key in _rests(look, max_changes, same_person):
                buckets[key].append(number)
    with progress(len(looks), 'Comparing outfits') as done:
        for number, look in enumerate(looks):
            keys = [*_rests(look, max_changes, same_person)]
            keys = [key for key in keys if key in buckets]
            found: dict[int, None] = {}  # ordered, which a set is not
            for (_, slots, _), other in _candidates(
                keys, buckets, per_look, rng
            ):
                same = look.pid == looks[other].pid
                if same == same_person and _differ(look, looks[other], slots):
                    found[other] = None
                if len(found) == per_look:
                    break
            done(1)
            if found:
                yield number, [*found]


def _candidates(
    keys: list[tuple], buckets: dict, per_look: int, rng: random.Random
) -> Iterator[tuple]:
    """Looks that share what stays, in random order: all, or some of many."""
    sizes = [len(buckets[key]) for key in keys]
    wanted = _TRIES * per_look
    if sum(sizes) > wanted:
        for key in rng.choices(keys, sizes, k=wanted):
            yield key, rng.choice(buckets[key])
        return
    found = [(key, other) for key in keys for other in buckets[key]]
    rng.shuffle(found)
    yield from found


def _rests(look: Look, max_changes: int, same_person: bool) -> Iterator[tuple]:
    """Take out the things of some places; give what stays."""
    owner = look.pid if same_person else look.outfit.person
    for number in range(1, max_changes + 1):
        for slots in combinations(range(len(SLOTS)), number):
            rest = tuple(
                None if i in slots else thing
                for i, thing in enumerate(look.outfit.things)
            )
            if any(rest[i] for i in _CLOTHES):
                yield owner, slots, rest


def _differ(one: Look, two: Look, slots: Iterable[int]) -> bool:
    """Check that every thing differs and clothes are told of both."""
    for slot in slots:
        a, b = one.outfit.things[slot], two.outfit.things[slot]
        if a == b or (slot in _CLOTHES and not (a and b)):
            return False
    return True


def tell_change(old: Outfit, new: Outfit, rng: random.Random) -> str:
    """Say what is different.

    Args:
        old (Outfit): That of the reference.
        new (Outfit): That of the target.
        rng (Random): Draws the wording.

    Returns:
        str: A sentence.
    """
    parts = [
        _tell(a, b, rng)
        for a, b in zip(old.things, new.things, strict=True)
        if a != b
    ]
    text = ' and '.join(parts)
    return f'{text[0].upper()}{text[1:]}.'


def _tell(old: Thing | None, new: Any, rng: random.Random) -> str:
    if old is None:
        return rng.choice(_GAINS).format(new=new.phrase)
    if new is None:
        return rng.choice(_LOSSES).format(old=f'the {old.noun or old.kind}')
    before = old.phrase
    if old.kind == new.kind and old.colour and new.colour:
        before = old.colour
    return rng.choice(_SWAPS).format(new=new.phrase, old=before)


def derive_triplets(
    records: Iterable[PersonRecord],
    max_changes: int = 1,
    same_person: bool = False,
    per_look: int = 20,
    per_pair: int = 2,
    seed: int = 0,
) -> list[dict]:
    """Derive triplets to train on, as SynCPR has them.

    Args:
        records (Iterable[PersonRecord]): Captioned images.
        max_changes (int): See :func:`draw_changes`.
        same_person (bool): See :func:`draw_changes`.
        per_look (int): Targets drawn for each look, at most. Defaults to 20.
        per_pair (int): Pairs of images for each pair of looks, at most.
            Defaults to 2.
        seed (int): Seed of all draws. Defaults to 0.

    Returns:
        list[dict]: Records of ``SynCPR.json``; ``cpr_id`` is the number of
        the target's look.

    Raises:
        ValueError: If there is none.
    """
    rng = random.Random(seed)
    looks = find_looks(records)
    triplets = []
    for a, others in draw_changes(
        looks, per_look, rng, max_changes, same_person
    ):
        for b in others:
            pairs = [
                (x, y) for x in looks[a].records for y in looks[b].records
            ]
            for one, two in rng.sample(pairs, min(per_pair, len(pairs))):
                triplets.append(
                    dict(
                        reference_image_path=one.path,
                        target_image_path=two.path,
                        reference_caption=one.captions[0],
                        target_caption=two.captions[0],
                        edit_caption=tell_change(
                            looks[a].outfit, looks[b].outfit, rng
                        ),
                        cpr_id=b,
                    )
                )
    _refuse_none(triplets, looks)
    return triplets


def derive_queries(
    records: Iterable[PersonRecord],
    max_changes: int = 1,
    same_person: bool = False,
    per_look: int = 2,
    seed: int = 0,
) -> tuple[list[dict], list[dict]]:
    """Derive queries and a gallery to test on, as ITCPR has them.

    All images are in the gallery. Between different persons, a look is
    asked for only if nobody else has it: the answer is unambiguous as far as
    the captions say.

    Args:
        records (Iterable[PersonRecord]): Captioned images.
        max_changes (int): See :func:`draw_changes`.
        same_person (bool): See :func:`draw_changes`.
        per_look (int): Queries from each look, at most. Defaults to 2.
        seed (int): Seed of all draws. Defaults to 0.

    Returns:
        tuple[list[dict], list[dict]]: Records of ``query.json`` and of
        ``gallery.json``.

    Raises:
        ValueError: If there is no query.
    """
    rng = random.Random(seed)
    records = list(records)
    looks = find_looks(records)
    owners: defaultdict[Outfit, int] = defaultdict(int)
    for look in looks:
        owners[look.outfit] += 1
    queries: list[dict] = []
    asked: dict[str, int] = {}
    for a, others in draw_changes(
        looks,
        per_look,
        rng,
        max_changes,
        same_person,
        lambda b: same_person or owners[looks[b].outfit] == 1,
    ):
        for b in others:
            caption = tell_change(looks[a].outfit, looks[b].outfit, rng)
            reference = rng.choice(looks[a].records)
            queries.append(_item(reference, b, looks[b].pid, caption))
            asked.update((record.path, b) for record in looks[b].records)
    _refuse_none(queries, looks)
    gallery = {r.path: _item(r, asked.get(r.path, -1), r.pid) for r in records}
    return queries, [*gallery.values()]


def _item(
    record: PersonRecord, look: int, pid: int | str, caption: str | None = None
) -> dict:
    item = dict(file_path=record.path, person_id=pid, instance_id=look)
    return item if caption is None else dict(item, caption=caption)


def _refuse_none(found: list, looks: Sequence[Look]) -> None:
    if not found:
        raise ValueError(
            f'Among {len(looks)} outfits that the captions tell, no two '
            'differ in so little. Allow more changes, or look at what '
            'read_outfit reads in the captions.'
        )
