"""People of the synthetic world: attributes, sampling, deliberate errors."""

from dataclasses import astuple, dataclass, replace

import numpy as np

#: Value -> relative frequency, for every attribute of a person.
VOCABULARY = {
    'gender': {'man': 1, 'woman': 1},
    'hair_length': {'short': 1, 'long': 1},
    'hair_colour': {
        'black': 1,
        'brown': 1,
        'blond': 1,
        'grey': 1,
        'red': 1,
    },
    'hat': {'none': 6, 'cap': 2, 'beanie': 2, 'sun hat': 1},
    'top': {
        't-shirt': 1,
        'striped shirt': 1,
        'shirt': 1,
        'hoodie': 1,
        'jacket': 1,
        'coat': 1,
    },
    'top_colour': {
        'black': 1,
        'white': 1,
        'grey': 1,
        'red': 1,
        'blue': 1,
        'green': 1,
        'yellow': 1,
        'purple': 1,
        'pink': 1,
        'orange': 1,
        'brown': 1,
    },
    'bottom': {'trousers': 1, 'shorts': 1, 'skirt': 1},
    'bottom_colour': {
        'black': 1,
        'blue': 1,
        'grey': 1,
        'white': 1,
        'brown': 1,
        'green': 1,
        'red': 1,
        'pink': 1,
        'purple': 1,
        'yellow': 1,
        'orange': 1,
    },
    'shoes_colour': {
        'black': 1,
        'white': 1,
        'red': 1,
        'brown': 1,
        'blue': 1,
        'yellow': 1,
    },
    'bag': {
        'none': 3,
        'backpack': 3,
        'handbag': 2,
        'shoulder bag': 2,
        'suitcase': 1,
    },
}
_ITEM_COLOURS = {
    'black': 3,
    'white': 1,
    'red': 2,
    'blue': 2,
    'green': 1,
    'yellow': 1,
    'brown': 2,
    'pink': 1,
}
VOCABULARY['hat_colour'] = _ITEM_COLOURS
VOCABULARY['bag_colour'] = _ITEM_COLOURS

#: The 27 binary attributes of a label in MALS layout.
LABEL_NAMES = (
    'woman',
    'long hair',
    'dark hair',
    'hat',
    'backpack',
    'shoulder bag',
    'handbag or suitcase',
    'long sleeves',
    'long lower body clothing',
    'skirt',
    *(
        f'{colour} top'
        for colour in (
            'black',
            'white',
            'grey',
            'red',
            'blue',
            'green',
            'yellow',
            'purple',
        )
    ),
    *(
        f'{colour} bottom'
        for colour in (
            'black',
            'blue',
            'grey',
            'white',
            'brown',
            'green',
            'red',
            'pink',
            'purple',
        )
    ),
)


@dataclass(frozen=True)
class Identity:
    """A person: what captions can speak of, and a number.

    Args:
        number (int): Number in the world. It seeds what captions do not
            mention (skin, build, exact shades), so that the views of a person
            agree in it.
        gender (str): Value of ``VOCABULARY['gender']``; likewise the rest.
        hair_length (str): Length of the hair.
        hair_colour (str): Colour of the hair.
        hat (str): Kind of hat or ``'none'``.
        hat_colour (str): Colour of the hat, ``''`` without one.
        top (str): Kind of upper body clothing.
        top_colour (str): Its colour.
        bottom (str): Kind of lower body clothing.
        bottom_colour (str): Its colour.
        shoes_colour (str): Colour of the shoes.
        bag (str): Kind of bag or ``'none'``.
        bag_colour (str): Colour of the bag, ``''`` without one.
    """

    number: int
    gender: str
    hair_length: str
    hair_colour: str
    hat: str
    hat_colour: str
    top: str
    top_colour: str
    bottom: str
    bottom_colour: str
    shoes_colour: str
    bag: str
    bag_colour: str

    @property
    def attributes(self) -> tuple[str, ...]:
        """All attribute values, without the number."""
        return astuple(self)[1:]

    def label(self) -> list[int]:
        """Binary attributes in the order of ``LABEL_NAMES``.

        Returns:
            list[int]: 27 zeros and ones.
        """
        facts = {
            'woman': self.gender == 'woman',
            'long hair': self.hair_length == 'long',
            'dark hair': self.hair_colour in ('black', 'brown'),
            'hat': self.hat != 'none',
            'backpack': self.bag == 'backpack',
            'shoulder bag': self.bag == 'shoulder bag',
            'handbag or suitcase': self.bag in ('handbag', 'suitcase'),
            'long sleeves': self.top != 't-shirt',
            'long lower body clothing': self.bottom == 'trousers',
            'skirt': self.bottom == 'skirt',
            f'{self.top_colour} top': True,
            f'{self.bottom_colour} bottom': True,
        }
        return [int(facts.get(name, False)) for name in LABEL_NAMES]


def _choose(rng: np.random.Generator, name: str, exclude: str = '') -> str:
    weights = {k: v for k, v in VOCABULARY[name].items() if k != exclude}
    shares = np.fromiter(weights.values(), float)
    return list(weights)[rng.choice(len(shares), p=shares / shares.sum())]


def random_identity(rng: np.random.Generator, number: int = 0) -> Identity:
    """Draw one person.

    Args:
        rng (Generator): Source of randomness.
        number (int): The person's number. Defaults to 0.

    Returns:
        Identity: The person. Men wear no skirts; long hair is rarer in men.
    """
    values = {name: _choose(rng, name) for name in VOCABULARY}
    if values['gender'] == 'man':
        if rng.random() < 0.6:
            values['hair_length'] = 'short'
        if values['bottom'] == 'skirt':
            values['bottom'] = 'trousers'
    for item in ('hat', 'bag'):
        if values[item] == 'none':
            values[f'{item}_colour'] = ''
    return Identity(number=number, **values)


def sample_identities(count: int, seed: int = 0) -> list[Identity]:
    """Draw people of whom no two have all attributes in common.

    Args:
        count (int): Number of people.
        seed (int): Seed; a larger ``count`` extends the same list.

    Returns:
        list[Identity]: People numbered from 0.
    """
    rng = np.random.default_rng([seed, 1])
    found: dict[tuple, Identity] = {}
    while len(found) < count:
        person = random_identity(rng, number=len(found))
        found.setdefault(person.attributes, person)
    return list(found.values())


def distinctly_dressed(pool: list[Identity], count: int) -> list[Identity]:
    """Choose people of whom no two wear the same colours and bottom.

    Args:
        pool (list[Identity]): People to choose from.
        count (int): How many. Where the pool has fewer that differ in both
            colours and the kind of bottom, others fill up.

    Returns:
        list[Identity]: The first of the pool that fit, in its order.
    """
    first: dict[tuple, Identity] = {}
    rest = []
    for person in pool:
        clothes = (person.top_colour, person.bottom, person.bottom_colour)
        if first.setdefault(clothes, person) is not person:
            rest.append(person)
    return [*first.values(), *rest][:count]


def change_attributes(
    identity: Identity,
    names: list[str],
    rng: np.random.Generator,
) -> Identity:
    """Replace attributes by other values, for captions that are wrong.

    Args:
        identity (Identity): The true person.
        names (list[str]): Attributes to change.
        rng (Generator): Source of randomness.

    Returns:
        Identity: A person that differs in exactly these attributes. Hats and
        bags change into other hats and bags, not into none.
    """
    changed = identity
    for name in names:
        value = getattr(identity, name)
        while value in (getattr(identity, name), 'none') or (
            value == 'skirt' and changed.gender == 'man'
        ):
            value = _choose(rng, name, exclude=getattr(identity, name))
        changed = replace(changed, **{name: value})
    return changed


def changeable(identity: Identity, mentioned: list[str]) -> list[str]:
    """Attributes whose change makes a caption wrong without giving it away.

    Args:
        identity (Identity): The true person.
        mentioned (list[str]): Attributes the caption speaks of.

    Returns:
        list[str]: ``mentioned`` without the gender of people in skirts (a man
        in a skirt never occurs in a right caption).
    """
    return [
        name
        for name in mentioned
        if name != 'gender' or identity.bottom != 'skirt'
    ]
