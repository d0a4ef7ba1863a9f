import numpy as np

from mmtpr.synthesis import (
    PAIR_KINDS,
    ProceduralWorld,
    cuhk_layout,
    mals_layout,
    sample_identities,
)
from mmtpr.synthesis.layouts import caption_owners, pair_kinds


def test_cuhk_layout_has_disjoint_ids_and_all_keys():
    people = sample_identities(9)
    splits = dict(train=people[:4], val=people[4:6], test=people[6:])
    records, shots = cuhk_layout(ProceduralWorld(), splits, views=2)
    assert len(records) == len(shots) == 18
    ids = {
        split: {r['id'] for r in records if r['split'] == split}
        for split in splits
    }
    assert ids == dict(train={1, 2, 3, 4}, val={5, 6}, test={7, 8, 9})
    for record, shot in zip(records, shots, strict=True):
        assert shot.path == f'imgs/{record["file_path"]}'
        assert len(record['captions']) == 2
        words = record['processed_tokens'][0]
        assert words[0] == record['captions'][0].split()[0].lower()


def test_mals_layout_knows_which_captions_are_wrong():
    world, people = ProceduralWorld(), sample_identities(300)
    records, shots, truth = mals_layout(world, people, wrong=0.3, seed=1)
    counts = np.bincount(truth)
    assert dict(zip(PAIR_KINDS, counts.tolist(), strict=True)) == dict(
        right=210, another=30, three=30, one=30
    )
    own = [world.describe(shot.identity, shot.view) for shot in shots]
    for record, kind, caption in zip(records, truth, own, strict=True):
        same = record['caption'] == caption
        assert same == (PAIR_KINDS[kind] == 'right')
        another = PAIR_KINDS[kind] == 'another'
        assert another == (not same and record['caption'] in own)
    assert len({record['image_id'] for record in records}) == 300
    assert all(len(record['label']) == 27 for record in records)


def test_mals_layout_repeats_people_by_views():
    people = sample_identities(5)
    records, shots, _ = mals_layout(ProceduralWorld(), people, views=3)
    assert len({r['image'] for r in records}) == 15
    assert [s.view for s in shots] == [0] * 5 + [1] * 5 + [2] * 5


def test_owners_are_whom_the_captions_describe():
    people = sample_identities(40, 3)
    world = ProceduralWorld((64, 32), 3)
    records, _, truth = mals_layout(world, people, 2, 0.3, 5)
    rng = np.random.default_rng([5, 2])
    kinds = pair_kinds(80, 0.3, rng)
    assert kinds == truth
    owners = caption_owners(kinds, 40, rng)
    for number, (kind, owner) in enumerate(zip(kinds, owners, strict=True)):
        seen = number % 40
        assert (owner != seen) == (PAIR_KINDS[kind] == 'another')
        if PAIR_KINDS[kind] in ('right', 'another'):
            wanted = world.describe(people[owner], number // 40)
            assert records[number]['caption'] == wanted
