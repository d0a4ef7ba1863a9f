"""Items that captions tell of, and the words in front of them."""

import re
from functools import cache

_WORD = re.compile(r"[^\W\d_](?:[\w'-]*\w)?|[,.;]")
#: Words of an item; words of one line mean the same.
_ITEMS = """
t-shirt tshirt tee
shirt blouse
jacket blazer windbreaker
coat overcoat trenchcoat parka
hoodie sweatshirt
sweater jumper pullover cardigan
vest
dress gown
suit
top
trousers pants slacks
jeans
shorts
skirt
leggings tights
shoes shoe
sneakers trainers
boots
sandals
heels
hat
cap
beanie
helmet
scarf
gloves
glasses sunglasses
backpack rucksack
handbag purse
bag
suitcase luggage
umbrella
tie
belt
hair
"""
_BREAK_WORDS = """
and with in wearing wears carrying carries holding has is a an the over under
, . ; on his her their of
"""
_BREAK = frozenset(_BREAK_WORDS.split())
_MOST_BEFORE = 4


@cache
def _table() -> dict[str, str]:
    return {
        word: line.split()[0]
        for line in _ITEMS.strip().splitlines()
        for word in line.split()
    }


def item_of(word: str) -> str:
    """Name the item that a word means.

    Args:
        word (str): In lower case.

    Returns:
        str: The item, '' if the word means none that is known.
    """
    return _table().get(word, '')


def described_items(caption: str) -> dict[str, frozenset[str]]:
    """Find the items of a caption and how it describes them.

    Args:
        caption (str): The caption.

    Returns:
        dict[str, frozenset[str]]: Words in front of the item, by item; of an
        item that is told twice, of both.

    Examples:
        >>> sorted(described_items('A man in a long red coat.')['coat'])
        ['long', 'red']
    """
    words = _WORD.findall(caption.lower())
    found: dict[str, frozenset[str]] = {}
    for place, word in enumerate(words):
        item = item_of(word)
        if not item:
            continue
        before = []
        for other in reversed(words[max(0, place - _MOST_BEFORE) : place]):
            if other in _BREAK or item_of(other):
                break
            before.append(other)
        found[item] = found.get(item, frozenset()) | frozenset(before)
    return found
