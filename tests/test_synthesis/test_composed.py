import itertools

import numpy as np
import pytest

from mmtpr.synthesis import (
    ProceduralWorld,
    itcpr_layout,
    sample_identities,
    syncpr_layout,
)
from mmtpr.synthesis.composed import dress, same_clothes

PEOPLE = sample_identities(12, seed=3)
CLOTHES = ('hat', 'top', 'bottom', 'shoes', 'bag')


@pytest.fixture(scope='module')
def world():
    return ProceduralWorld(size=(64, 32), seed=3)


def clothes(person):
    names = [n for n in person.__dataclass_fields__ if n.startswith(CLOTHES)]
    return [getattr(person, name) for name in names]


def test_a_wardrobe_holds_different_outfits_of_one_person():
    for person in PEOPLE:
        wardrobe = dress(person, 3, seed=0)
        assert len(set(wardrobe.outfits)) == 4
        assert wardrobe == dress(person, 3, seed=0)
        for outfit in wardrobe.outfits:
            assert outfit.number == person.number
            assert outfit.gender == person.gender
            assert outfit.hair_colour == person.hair_colour
    assert dress(PEOPLE[0], 3, seed=1) != dress(PEOPLE[0], 3, seed=0)


def test_triplets_go_both_ways(world):
    records, shots = syncpr_layout(world, PEOPLE, views=3)
    assert len(records) == 2 * 3 * len(PEOPLE) == len(shots)
    drawn = {shot.path: shot for shot in shots}
    assert len({(s.identity.number, s.view) for s in shots}) == len(shots)
    groups = {}
    for record in records:
        groups.setdefault(record['cpr_id'], []).append(record)
        before = drawn[record['reference_image_path']]
        after = drawn[record['target_image_path']]
        assert before.identity.number == after.identity.number
        assert clothes(before.identity) != clothes(after.identity)
        caption = world.describe(after.identity, after.view)
        assert record['target_caption'] == caption
    assert sorted(groups) == list(range(2 * len(PEOPLE)))
    for group in groups.values():
        assert len(group) == 3
        targets = {drawn[r['target_image_path']].identity for r in group}
        assert len(targets) == 1
        assert len({r['target_image_path'] for r in group}) == 3
        assert len({r['reference_image_path'] for r in group}) == 3
    texts = [len({r['edit_caption'] for r in g}) for g in groups.values()]
    assert np.mean(texts) > 2


def test_every_query_has_its_target_and_both_distractors(world):
    numbers = itertools.count(len(PEOPLE))
    queries, gallery, shots = itcpr_layout(world, PEOPLE, numbers, 2, 2)
    assert len(queries) == 2 * len(PEOPLE)
    assert len(gallery) == len(shots) == (2 + 2 * 2) * len(PEOPLE)
    drawn = {shot.path: shot.identity for shot in shots}
    assert len(drawn) == len(shots)
    by_path = {item['file_path']: item for item in gallery}
    assert len({query['instance_id'] for query in queries}) == len(queries)
    for query in queries:
        reference = drawn[query['file_path']]
        assert by_path[query['file_path']]['instance_id'] == -1
        (target,) = [
            item['file_path']
            for item in gallery
            if item['instance_id'] == query['instance_id']
        ]
        assert by_path[target]['person_id'] == query['person_id']
        assert drawn[target].number == reference.number
        unchanged = [
            path
            for path, item in by_path.items()
            if drawn[path] == reference and item['instance_id'] == -1
        ]
        assert len(unchanged) == 2
        others = [
            path
            for path, identity in drawn.items()
            if clothes(identity) == clothes(drawn[target])
            and identity.number != reference.number
        ]
        assert others
        for path in others:
            assert by_path[path]['instance_id'] == -1
            assert by_path[path]['person_id'] != query['person_id']
            hair = drawn[path].hair_colour
            assert hair != reference.hair_colour


def test_somebody_else_in_the_same_clothes():
    others = [same_clothes(p, 100 + p.number, seed=0) for p in PEOPLE]
    for person, other in zip(PEOPLE, others, strict=True):
        assert clothes(person) == clothes(other)
        assert other.number == 100 + person.number
        assert (other.gender, other.bottom) != ('man', 'skirt')
    pairs = list(zip(PEOPLE, others, strict=True))
    assert any(a.gender != b.gender for a, b in pairs)
    assert any(a.hair_length != b.hair_length for a, b in pairs)
