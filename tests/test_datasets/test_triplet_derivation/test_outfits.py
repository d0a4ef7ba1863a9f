"""Clothes as captions tell them."""

import pytest

from mmtpr.datasets.triplet_derivation.outfits import SLOTS, read_outfit

CAPTIONS = {
    'A man in a red T-shirt and blue jeans, carrying a backpack.': dict(
        upper='a red t-shirt', lower='blue jeans', bag='a backpack'
    ),
    'She has a light grey hoodie with dark blue denim shorts on': dict(
        upper='a light gray hoodie', lower='dark blue shorts'
    ),
    'black dress pants, white and red sneakers and an orange cap': dict(
        lower='black pants',
        shoes='white and red sneakers',
        hat='an orange cap',
    ),
    'The woman wears a short multi-coloured dress. No hat, no bag.': dict(
        dress='a multicoloured dress'
    ),
    'red hair and a jacket, trousers, black-framed glasses': {},
    'a jacket over a green top; the coat is black': dict(upper='a green top'),
    '': {},
}


@pytest.mark.parametrize('caption', CAPTIONS)
def test_things_with_their_colours(caption):
    outfit = read_outfit([caption])
    found = {
        slot: thing.phrase
        for slot, thing in zip(SLOTS, outfit.things, strict=True)
        if thing
    }
    assert found == CAPTIONS[caption]


def test_persons():
    captions = (
        'A woman',
        'this guy',
        'SHE walks',
        'a pedestrian',
        'a mannequin',
    )
    found = [read_outfit([caption]).person for caption in captions]
    assert found == ['woman', 'man', 'woman', '', '']


def test_several_captions_tell_one_outfit_and_the_first_counts():
    outfit = read_outfit(['a man in a red top', 'a blue shirt, black shoes'])
    phrases = [thing.phrase for thing in outfit.things if thing]
    assert phrases == ['a red top', 'black shoes']
    # What it is called does not matter, what it is does.
    assert outfit == read_outfit(['a guy in a red blouse and black boots'])
    assert outfit != read_outfit(['a guy in a red coat and black boots'])
