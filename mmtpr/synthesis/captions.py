"""English sentences about a person, each time in other words."""

import numpy as np

from .identities import Identity
from .sentences import finish_sentence, join_parts

#: How often a right caption mentions an attribute, given that there is one.
MENTION = {
    'gender': 0.97,
    'hair_length': 0.9,
    'hair_colour': 0.95,
    'hat': 0.97,
    'hat_colour': 0.96,
    'top': 0.97,
    'top_colour': 0.99,
    'bottom': 0.97,
    'bottom_colour': 0.99,
    'shoes_colour': 0.95,
    'bag': 0.97,
    'bag_colour': 0.96,
}
#: Words for the same, by what they mean.
WORDS = {
    'man': ['man', 'man', 'guy'],
    'woman': ['woman', 'woman', 'lady'],
    'person': ['person', 'pedestrian'],
    'blond': ['blond', 'fair'],
    'brown hair': ['brown'],
    'black hair': ['black', 'black', 'dark'],
    'grey hair': ['grey', 'gray'],
    'red hair': ['red', 'ginger'],
    'grey': ['grey', 'gray'],
    'purple': ['purple', 'violet'],
    'cap': ['cap', 'baseball cap'],
    'beanie': ['beanie', 'knit hat'],
    'sun hat': ['sun hat', 'wide hat'],
    't-shirt': ['t-shirt', 'short sleeved top'],
    'striped shirt': ['striped shirt', 'striped top'],
    'shirt': ['long sleeved shirt', 'plain shirt'],
    'hoodie': ['hoodie', 'hooded sweater'],
    'jacket': ['jacket', 'open jacket'],
    'coat': ['coat', 'long coat'],
    'any top': ['top', 'upper garment'],
    'trousers': ['trousers', 'pants', 'long pants'],
    'shorts': ['shorts', 'short pants'],
    'skirt': ['skirt'],
    'any bottom': ['bottoms', 'lower garment'],
    'shoes': ['shoes', 'shoes', 'sneakers'],
    'backpack': ['backpack', 'bag on the back'],
    'handbag': ['handbag', 'purse'],
    'shoulder bag': ['shoulder bag', 'cross body bag'],
    'suitcase': ['suitcase', 'rolling case'],
    'any bag': ['bag'],
    'any hat': ['hat'],
}
_ACTIONS = ('walking', 'standing', 'on the move', 'seen from a distance')


class CaptionWriter:
    """One caption: what it mentions is fixed first, then it is worded.

    Args:
        identity (Identity): Who is described.
        rng (Generator): Source of randomness, consumed.
        minimum (int): Least number of mentioned attributes. Defaults to 4.
        variety (float): How often it departs from the usual words and order,
            in [0, 1]. Defaults to 1.0.
    """

    def __init__(
        self,
        identity: Identity,
        rng: np.random.Generator,
        minimum: int = 4,
        variety: float = 1.0,
    ) -> None:
        self.rng, self.variety = rng, variety
        self.mentioned = self._plan(identity)
        while len(self.mentioned) < minimum:
            self.mentioned = self._plan(identity)
        self._items: list[str] = [
            x for x in ('hat', 'bag') if x in self.mentioned
        ]
        for item in self._items:
            if self._chance(0.1):  # 'a red bag': the kind stays open
                self.mentioned.remove(item)

    def _plan(self, identity: Identity) -> list[str]:
        chosen = [
            name
            for name, chance in MENTION.items()
            if self.rng.random() < chance
            and getattr(identity, name) not in ('', 'none')
        ]
        for item in ('hat', 'bag'):
            if item not in chosen and f'{item}_colour' in chosen:
                chosen.remove(f'{item}_colour')
        return chosen

    def write(self, identity: Identity) -> str:
        """Word the caption.

        Args:
            identity (Identity): Who is described; may differ in attributes
                from the one that was planned for.

        Returns:
            str: One or two English sentences.
        """
        parts = [
            self._hair(identity),
            self._item(identity, 'hat'),
            self._top(identity),
            self._bottom(identity),
            self._shoes(identity),
            self._item(identity, 'bag'),
        ]
        worn = [part for part in parts[1:5] if part]
        if self._chance(0.4):
            self.rng.shuffle(worn)
        hair, bag = parts[0], parts[5]
        if self._chance(0.45):
            return self._two_sentences(identity, hair, worn, bag)
        return self._one_sentence(identity, hair, worn, bag)

    def _one_sentence(
        self, identity: Identity, hair: str, worn: list[str], bag: str
    ) -> str:
        text = f'{self._of("a", "the", "a")} {self._who(identity)}'
        if hair:
            text += f' with {hair}'
        if self._chance(0.25):
            text += f' {self._of(*_ACTIONS)}'
        verb = self._of('wearing', 'wears', 'is wearing', 'dressed in', 'in')
        text += f' {verb} {join_parts(worn)}' if worn else ''
        if bag:
            verb = self._of('carrying', 'holding', 'with')
            text += f'{self._of(" and ", ", ")}{verb} {bag}'
        return finish_sentence(text)

    def _two_sentences(
        self, identity: Identity, hair: str, worn: list[str], bag: str
    ) -> str:
        cut = int(self.rng.integers(1, max(len(worn), 2)))
        first, second = worn[:cut], worn[cut:]
        verb = self._of('wears', 'is wearing', 'has on', 'is dressed in')
        start = f'{self._of("a", "the", "this")} {self._who(identity)} {verb} '
        start += join_parts(first) if first else 'plain clothes'
        pronoun = 'they'
        if 'gender' in self.mentioned:
            pronoun = {'man': 'he', 'woman': 'she'}[identity.gender]
        have = 'have' if pronoun == 'they' else 'has'
        rest = []
        if second:
            also = 'are' if pronoun == 'they' else 'is'
            rest.append(f'{also} also in {join_parts(second)}')
        if hair:
            rest.append(f'{have} {hair}')
        if bag:
            rest.append(f'{have} {bag}')
        if self._chance(0.3):
            rest = rest[::-1]
        start = finish_sentence(start)
        if not rest:
            return start
        return f'{start} {finish_sentence(f"{pronoun} {join_parts(rest)}")}'

    def _who(self, identity: Identity) -> str:
        known = 'gender' in self.mentioned
        word = self._word(identity.gender if known else 'person')
        return f'young {word}' if self._chance(0.1) else word

    def _hair(self, identity: Identity) -> str:
        words = []
        if 'hair_length' in self.mentioned:
            words.append(identity.hair_length)
        if 'hair_colour' in self.mentioned:
            colour = identity.hair_colour
            words.append(
                self._word(colour if colour == 'blond' else f'{colour} hair')
            )
        return ' '.join([*words, 'hair']) if words else ''

    def _item(self, identity: Identity, item: str) -> str:
        if item not in self._items:
            return ''
        known = item in self.mentioned
        kind = getattr(identity, item) if known else f'any {item}'
        return self._noun(identity, kind, f'{item}_colour')

    def _top(self, identity: Identity) -> str:
        kind = identity.top if 'top' in self.mentioned else 'any top'
        return self._noun(identity, kind, 'top_colour')

    def _bottom(self, identity: Identity) -> str:
        colour = 'bottom_colour' in self.mentioned
        if 'bottom' not in self.mentioned:
            return self._noun(identity, 'any bottom', 'bottom_colour')
        jeans = (identity.bottom, identity.bottom_colour) == (
            'trousers',
            'blue',
        )
        if jeans and colour and self._chance(0.4):
            return self._of('jeans', 'blue jeans')
        return self._noun(identity, identity.bottom, 'bottom_colour')

    def _shoes(self, identity: Identity) -> str:
        if 'shoes_colour' not in self.mentioned:
            return ''
        return self._noun(identity, 'shoes', 'shoes_colour')

    def _noun(self, identity: Identity, kind: str, colour: str) -> str:
        words = [self._word(kind)]
        if colour in self.mentioned:
            words.insert(0, self._word(getattr(identity, colour)))
        text = ' '.join(words)
        if words[-1].endswith(('s', 'wear')) and not kind.startswith('strip'):
            return f'a pair of {text}' if self._chance(0.2) else text
        return f'{"an" if text[0] in "aeiou" else "a"} {text}'

    def _word(self, name: str) -> str:
        return self._of(*WORDS.get(name, [name]))

    def _of(self, *options: str) -> str:
        if self.rng.random() >= self.variety:
            return options[0]
        return options[int(self.rng.integers(len(options)))]

    def _chance(self, share: float) -> bool:
        return bool(self.rng.random() < share * self.variety)
