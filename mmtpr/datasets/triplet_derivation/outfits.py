"""Clothes that a caption names, found by a vocabulary and no model."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_COLOUR_LIST = (
    'black white gray red green blue yellow orange purple pink brown beige '
    'khaki navy maroon tan cream gold silver olive turquoise burgundy '
    'multicoloured'
)
_COLOURS = frozenset(_COLOUR_LIST.split())
_SPELLINGS = {
    'grey': 'gray',
    'multicolored': 'multicoloured',
    'multi-colored': 'multicoloured',
    'multi-coloured': 'multicoloured',
    't-shirts': 't-shirt',
    'tshirt': 't-shirt',
}
_SHADES = ('light', 'dark', 'bright', 'pale')
#: Kinds of things by where they are worn, and the nouns for them.
_NOUNS = {
    'upper': {
        'top': 'top shirt t-shirt blouse sweater sweatshirt hoodie jumper '
        'vest cardigan tee',
    },
    'outer': {'coat': 'coat jacket blazer parka'},
    'lower': {
        'trousers': 'trousers pants jeans leggings slacks',
        'shorts': 'shorts',
        'skirt': 'skirt',
    },
    'dress': {'dress': 'dress gown'},
    'shoes': {'shoes': 'shoes sneakers trainers boots sandals heels'},
    'bag': {
        'backpack': 'backpack rucksack',
        'bag': 'bag handbag purse satchel tote',
    },
    'hat': {'hat': 'hat cap beanie helmet'},
}
#: Places of things to be worn, in the order of sentences.
SLOTS = tuple(_NOUNS)
#: What is there or not: no colour needed, and no mention means none.
OPTIONAL_SLOTS = ('bag', 'hat')
_PLACE = {
    noun: (slot, kind)
    for slot, kinds in _NOUNS.items()
    for kind, nouns in kinds.items()
    for noun in nouns.split()
}
_PLURAL = ('trousers', 'shorts', 'shoes')
_PERSON = {'man': 'man', 'boy': 'man', 'male': 'man', 'guy': 'man'}
_PERSON |= {'woman': 'woman', 'girl': 'woman', 'female': 'woman'}
_PERSON |= {'lady': 'woman', 'she': 'woman', 'he': 'man'}
_BETWEEN = re.compile(r'^(a|an|the|and|with|over|under|in|on|of|no|nothing)$')
_WORD = re.compile(r'[a-z]+(?:-[a-z]+)*|[,.;]')
#: Words between a colour and its noun, at most.
_REACH = 3


@dataclass(frozen=True)
class Thing:
    """Something worn.

    Attributes:
        kind (str): E.g. ``'trousers'``.
        colour (str): ``''`` where it is not said.
        noun (str): As the caption has it; not compared.
    """

    kind: str
    colour: str = ''
    noun: str = field(default='', compare=False)

    @property
    def phrase(self) -> str:
        """With its article: ``'a red shirt'``, ``'blue jeans'``."""
        words = f'{self.colour} {self.noun or self.kind}'.strip()
        if self.kind in _PLURAL:
            return words
        return f'{"an" if words[0] in "aeiou" else "a"} {words}'


@dataclass(frozen=True)
class Outfit:
    """Clothes and things that the captions of an image name.

    Attributes:
        person (str): ``'man'``, ``'woman'`` or ``''``.
        things (tuple[Thing | None, ...]): By place, in the order of
            :data:`SLOTS`.
    """

    person: str
    things: tuple[Thing | None, ...]


def read_outfit(captions: Iterable[str]) -> Outfit:
    """Read what captions say of the clothes of a person.

    Clothes count with their colour only, bags and hats without one too; of
    several mentions the first one counts.

    Args:
        captions (Iterable[str]): Captions of one image.

    Returns:
        Outfit: Empty places where nothing is said.
    """
    person = ''
    things: dict[str, Thing] = {}
    for caption in captions:
        text = caption.lower()
        words = [_SPELLINGS.get(w, w) for w in _WORD.findall(text)]
        for word in words:
            person = person or _PERSON.get(word, '')
        for place, word in enumerate(words):
            if word not in _PLACE or _qualifies(words, place):
                continue
            slot, kind = _PLACE[word]
            colour = _colour_before(words, place)
            if (colour or slot in OPTIONAL_SLOTS) and not _denied(
                words, place
            ):
                things.setdefault(slot, Thing(kind, colour, word))
    return Outfit(person, tuple(things.get(slot) for slot in SLOTS))


def _qualifies(words: list[str], place: int) -> bool:
    """Check whether a noun belongs to the next ("dress shoes")."""
    return place + 1 < len(words) and words[place + 1] in _PLACE


def _denied(words: list[str], place: int) -> bool:
    return bool({'no', 'without'} & set(words[max(0, place - 2) : place]))


def _colour_before(words: list[str], place: int) -> str:
    """Colour of the noun at a place, with its shade or a second colour."""
    for back in range(place - 1, max(-1, place - 1 - _REACH), -1):
        word = words[back]
        if word in _COLOURS:
            before = words[back - 1] if back else ''
            if before in _SHADES:
                return f'{before} {word}'
            if before == 'and' and back > 1 and words[back - 2] in _COLOURS:
                return f'{words[back - 2]} and {word}'
            return word
        if back == place - 1 and word in _PLACE:
            continue  # "black dress pants"
        if word in _PLACE or _BETWEEN.match(word) or len(word) == 1:
            return ''
    return ''
