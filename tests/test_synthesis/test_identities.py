import numpy as np

from mmtpr.synthesis.identities import (
    LABEL_NAMES,
    change_attributes,
    changeable,
    sample_identities,
)


def test_no_two_people_share_all_attributes():
    people = sample_identities(3000, seed=3)
    assert len({person.attributes for person in people}) == 3000
    assert [person.number for person in people] == list(range(3000))


def test_a_larger_world_extends_a_smaller_one():
    assert sample_identities(50, seed=1) == sample_identities(80, seed=1)[:50]
    assert sample_identities(50, seed=1) != sample_identities(50, seed=2)


def test_label_has_27_attributes_that_agree_with_the_person():
    assert len(LABEL_NAMES) == len(set(LABEL_NAMES)) == 27
    labels = np.array([p.label() for p in sample_identities(500)])
    people = sample_identities(500)
    woman = labels[:, LABEL_NAMES.index('woman')]
    assert woman.tolist() == [int(p.gender == 'woman') for p in people]
    tops = [i for i, n in enumerate(LABEL_NAMES) if n.endswith(' top')]
    assert set(labels[:, tops].sum(1)) == {0, 1}
    assert labels.any(0).all()


def test_men_wear_no_skirts():
    people = sample_identities(1000)
    assert not any(p.gender == 'man' and p.bottom == 'skirt' for p in people)


def test_change_attributes_changes_exactly_these():
    rng = np.random.default_rng(0)
    names = ['top', 'bottom', 'hair_colour']
    for person in sample_identities(200):
        changed = change_attributes(person, names, rng)
        differ = [
            name
            for name in vars(person)
            if getattr(person, name) != getattr(changed, name)
        ]
        assert sorted(differ) == sorted(names)


def test_hats_and_bags_never_change_into_none():
    rng = np.random.default_rng(0)
    people = [p for p in sample_identities(300) if p.bag != 'none']
    changed = [change_attributes(p, ['bag'], rng).bag for p in people]
    assert 'none' not in changed


def test_gender_of_people_in_skirts_is_not_changeable():
    people = sample_identities(200)
    skirt = next(p for p in people if p.bottom == 'skirt')
    other = next(p for p in people if p.bottom != 'skirt')
    assert changeable(skirt, ['gender', 'top']) == ['top']
    assert changeable(other, ['gender', 'top']) == ['gender', 'top']
