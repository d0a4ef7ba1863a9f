"""Triplets and queries derived from captions."""

import random

import pytest

from mmtpr.datasets.annotations.records import PersonRecord
from mmtpr.datasets.triplet_derivation.derive import (
    derive_queries,
    derive_triplets,
    draw_changes,
    find_looks,
    tell_change,
)
from mmtpr.datasets.triplet_derivation.outfits import SLOTS, read_outfit


def record(pid, name, caption):
    return PersonRecord(f'{pid}_{name}.jpg', (caption,), pid)


RED = 'a man in a red top and blue jeans'
RECORDS = [
    record(0, 'a', RED),
    record(0, 'b', RED),
    record(1, 'a', 'a man in a green top and blue trousers'),
    record(2, 'a', 'a woman in a green top and blue jeans'),
    record(3, 'a', 'a man in a red top and blue jeans with a backpack'),
    record(4, 'a', 'a man in a white top and black shorts'),
    record(5, 'a', 'a man walks'),
    record(0, 'c', 'a man in a black top and blue jeans'),
]


def changes(max_changes=1, **kwargs):
    looks = find_looks(RECORDS)
    found = draw_changes(looks, 9, random.Random(0), max_changes, **kwargs)
    return {
        looks[a].records[0].path[:3]: {
            looks[b].records[0].path[:3] for b in bs
        }
        for a, bs in found
    }


def test_looks_are_images_of_one_person_in_one_outfit():
    looks = find_looks(RECORDS)
    assert [len(look.records) for look in looks] == [2, 1, 1, 1, 1, 1]
    assert [look.pid for look in looks] == [0, 1, 2, 3, 4, 0]


def test_one_thing_differs_and_all_else_stays():
    # 0 and 3: the backpack; 0 and 1: the top; 1 and 0's second: the top.
    assert changes() == {
        '0_a': {'1_a', '3_a'},
        '1_a': {'0_a', '0_c'},
        '3_a': {'0_a'},
        '0_c': {'1_a'},
    }
    assert changes(same_person=True) == {'0_a': {'0_c'}, '0_c': {'0_a'}}


def test_more_may_differ_but_some_clothes_stay():
    found = changes(2)
    assert found['3_a'] == {'0_a', '1_a', '0_c'}
    assert '4_a' not in found  # both of its clothes differ from all others
    assert '2_a' not in found  # the only woman


@pytest.mark.parametrize(
    ('old', 'new', 'words', 'absent'),
    [
        (RED, 'a green top, blue jeans', ('green top', 'red'), ('jeans',)),
        (RED, 'a red top, blue shorts', ('blue shorts', 'blue jeans'), ()),
        (RED, RED + ' and a black bag', ('a black bag',), ('top',)),
        (RED + ', a hat', RED, ('the hat',), ('jeans',)),
    ],
)
def test_sentences_tell_what_differs_and_nothing_else(old, new, words, absent):
    old, new = read_outfit([old]), read_outfit([new])
    said = {tell_change(old, new, random.Random(i)) for i in range(40)}
    assert len(said) >= 2
    for sentence in said:
        assert sentence[0].isupper()
        assert sentence.endswith('.')
        assert all(word in sentence.lower() for word in words)
        assert not any(word in sentence for word in absent)


def test_triplets_are_of_syncprs_form_and_repeat():
    triplets = derive_triplets(RECORDS, per_pair=9)
    assert triplets == derive_triplets(RECORDS, per_pair=9)
    assert triplets != derive_triplets(RECORDS, per_pair=9, seed=1)
    # 0 has two images in the first outfit: (0,1) (0,3) both ways, (0c,1).
    assert len(triplets) == 2 * (2 + 2) + 2
    by_target = {}
    for triplet in triplets:
        path = triplet['target_image_path']
        by_target.setdefault(triplet['cpr_id'], set()).add(path)
    assert {'0_a.jpg', '0_b.jpg'} in by_target.values()
    assert len(derive_triplets(RECORDS, per_look=1, per_pair=1)) == 4


def test_queries_have_one_answer_and_the_gallery_is_everything():
    twin = record(7, 'a', RECORDS[2].captions[0])
    queries, gallery = derive_queries([*RECORDS, twin])
    assert len(gallery) == 9
    wanted = {item['instance_id'] for item in gallery} - {-1}
    assert {query['instance_id'] for query in queries} == wanted
    # The green top belongs to two men: nobody asks for it.
    assert {query['person_id'] for query in queries} == {0, 3}
    for query in queries:
        right = [
            item
            for item in gallery
            if item['instance_id'] == query['instance_id']
        ]
        assert {item['person_id'] for item in right} == {query['person_id']}


def test_nothing_to_derive_is_explained():
    with pytest.raises(ValueError, match=r'Among 2 outfits .* no two differ'):
        derive_triplets(RECORDS[3:5])
    with pytest.raises(ValueError, match='Among 0 outfits'):
        derive_queries(RECORDS[6:7])


def test_many_alike_looks_stay_quick():
    colours = ('red', 'green', 'blue', 'white', 'black')
    rng = random.Random(0)
    records = [
        record(i, 'a', f'a man in a {rng.choice(colours)} top and blue jeans')
        for i in range(3000)
    ]
    triplets = derive_triplets(records, per_look=2)
    assert len(triplets) == 6000
    assert len(SLOTS) == len(find_looks(records[:1])[0].outfit.things)


def test_progress_counts_all_looks(counted):
    seen = counted('datasets.triplet_derivation.derive')
    derive_triplets(RECORDS)
    looks = len(find_looks(RECORDS))
    assert seen == {'Comparing outfits': [looks, looks]}
