"""Changes of clothes, hats and bags, and sentences that tell them."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .captions import CaptionWriter
from .identities import Identity, change_attributes
from .sentences import finish_sentence, join_parts

#: How often an item changes, against the others.
ITEMS = {'top': 3, 'bottom': 3, 'shoes': 1, 'hat': 2, 'bag': 2}
#: How often one, two or three items change together.
NUMBERS = (0.5, 0.35, 0.15)
#: How often colour, kind or both of an item change.
_PARTS = (0.4, 0.15, 0.45)
_REMOVED = 0.35  # of hats and bags that change

#: Ways to tell a change; ``{old}`` and ``{bare}`` are with and without 'the'.
MOODS = (
    {  # what the person does
        'start': ('', 'this person ', 'the same person '),
        'replace': (
            'now wears {new}',
            'now wears {new} instead of {old}',
            'has changed {old} for {new}',
        ),
        'replace bag': (
            'now carries {new}',
            'now carries {new} instead of {old}',
            'has changed {old} for {new}',
        ),
        'add': ('has put on {new}', 'now also wears {new}'),
        'add bag': ('has picked up {new}', 'now also carries {new}'),
        'remove': ('has taken off {old}', 'no longer wears {old}'),
        'remove bag': ('has put down {old}', 'no longer carries {old}'),
    },
    {  # what is to be done
        'start': ('', 'please '),
        'replace': (
            'swap {old} for {new}',
            'replace {old} with {new}',
            'change {old} to {new}',
        ),
        'add': ('add {new}',),
        'remove': ('remove {old}', 'take away {old}'),
    },
    {  # what is seen
        'start': ('with ', 'the same person with ', 'this person but with '),
        'replace': (
            '{new}',
            '{new} instead of {old}',
            '{new} in place of {old}',
        ),
        'add': ('{new}',),
        'remove': ('no {bare}',),
    },
)
#: Sentences with all words of the templates, for a tokenizer's vocabulary.
SAMPLE_SENTENCES = (
    'a photo of a person, a coat and shoes',
    *(
        start + template.format(new='a coat', old='the coat', bare='coat')
        for mood in MOODS
        for start in mood['start']
        for kind, templates in mood.items()
        if kind != 'start'
        for template in templates
    ),
)


@dataclass(frozen=True)
class Change:
    """One item that differs between two outfits of a person.

    Args:
        item (str): A key of ``ITEMS``.
        kind (str): ``'replace'``, ``'add'`` or ``'remove'``.
        names (tuple[str, ...]): Attributes that differ.
    """

    item: str
    kind: str
    names: tuple[str, ...]

    def reversed(self) -> 'Change':
        """The way back.

        Returns:
            Change: The same with before and after swapped.
        """
        kinds = dict(add='remove', remove='add', replace='replace')
        return replace(self, kind=kinds[self.kind])


def change_outfit(
    identity: Identity, rng: np.random.Generator
) -> tuple[Identity, list[Change]]:
    """Let a person change one, two or three items.

    Args:
        identity (Identity): The person before.
        rng (Generator): Source of randomness.

    Returns:
        tuple[Identity, list[Change]]: The same person after, and what is
        different. Number, gender and hair stay.
    """
    shares = np.fromiter(ITEMS.values(), float)
    count = 1 + int(rng.choice(len(NUMBERS), p=NUMBERS))
    chosen = rng.choice(
        len(ITEMS), count, replace=False, p=shares / shares.sum()
    )
    changes = [_plan(identity, list(ITEMS)[i], rng) for i in sorted(chosen)]
    for change in changes:
        if change.kind == 'remove':
            gone: dict[str, Any] = {
                change.item: 'none',
                f'{change.item}_colour': '',
            }
            identity = replace(identity, **gone)
        else:
            identity = change_attributes(identity, list(change.names), rng)
    return identity, changes


def _plan(identity: Identity, item: str, rng: np.random.Generator) -> Change:
    if item == 'shoes':
        return Change(item, 'replace', ('shoes_colour',))
    both = (item, f'{item}_colour')
    if getattr(identity, item) == 'none':
        return Change(item, 'add', both)
    if item in ('hat', 'bag') and rng.random() < _REMOVED:
        return Change(item, 'remove', both)
    part = int(rng.choice(len(_PARTS), p=_PARTS))
    return Change(item, 'replace', (both[1:], both[:1], both)[part])


class ChangeWriter(CaptionWriter):
    """Words a change as :class:`CaptionWriter` words a description.

    A sentence names what is new, sometimes also what it replaces, and nothing
    that stays the same.

    Args:
        identity (Identity): The person before.
        rng (Generator): Source of randomness, consumed.
        variety (float): How often an item has another than its usual name, in
            [0, 1]. Defaults to 0.25.
    """

    def __init__(
        self,
        identity: Identity,
        rng: np.random.Generator,
        variety: float = 0.25,
    ) -> None:
        super().__init__(identity, rng)
        self.before, self.variety = identity, variety

    def tell(self, after: Identity, changes: list[Change]) -> str:
        """Write a sentence.

        Args:
            after (Identity): The person after the changes.
            changes (list[Change]): What is different.

        Returns:
            str: An English sentence.
        """
        mood = MOODS[int(self.rng.integers(len(MOODS)))]
        start = self._one_of(mood['start'])
        clauses = [
            self._clause(mood, after, change, len(changes))
            for change in changes
        ]
        return finish_sentence(start + join_parts(clauses))

    def _clause(
        self, mood: dict, after: Identity, change: Change, number: int
    ) -> str:
        templates = mood.get(f'{change.kind} {change.item}')
        templates = templates or mood[change.kind]
        if number > 2 and '{old}' not in templates[0]:
            templates = templates[:1]  # no room for what was before
        template = self._one_of(templates)
        words = {}
        if '{new}' in template:
            words['new'] = self._name(after, change)
        if '{old}' in template or '{bare}' in template:
            bare = self._name(self.before, change)
            for article in ('a pair of ', 'a ', 'an '):
                bare = bare.removeprefix(article)
            words.update(old=f'the {bare}', bare=bare)
        return template.format(**words)

    def _name(self, identity: Identity, change: Change) -> str:
        """The item as the attributes that differ tell it."""
        item, names = change.item, change.names
        if change.kind == 'remove' and self.rng.random() < 0.5:
            names = (item,)
        self.mentioned, self._items = list(names), [item]
        if item in ('hat', 'bag'):
            return self._item(identity, item)
        return getattr(self, f'_{item}')(identity)

    def _one_of(self, options: tuple[str, ...]) -> str:
        return options[int(self.rng.integers(len(options)))]
