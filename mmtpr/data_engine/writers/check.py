"""Checks of quadruples: lengths, one person, a sentence that says the change.

They read words, not meaning: what they refuse is wrong as a rule, what they
let through is for the judges.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from mmtpr.utils.numbers import check_whole

from .garments import described_items, item_of
from .quadruple import Quadruple

_WORD = re.compile(r"[^\W\d_](?:[\w'-]*\w)?")
_MALE = {'man', 'boy', 'guy', 'gentleman', 'male', 'he', 'his', 'him'}
_FEMALE = {'woman', 'girl', 'lady', 'female', 'she', 'her', 'hers'}
#: Words that say nothing of a person.
_EMPTY_WORDS = """
a an the and or of in on with to from is are has have had wears wearing worn
wear carries carrying carry holding holds this that same person now also
instead place for by at as but it its their they them please no not without
longer put taken off up down away add remove replace swap change changed into
his her he she him one
"""
_EMPTY = frozenset(_EMPTY_WORDS.split())


@dataclass(frozen=True)
class QuadrupleCheck:
    """What a quadruple must hold.

    Attributes:
        caption_words (tuple[int, int]): Fewest and most words of a caption.
        edit_words (tuple[int, int]): Likewise of a sentence.
        one_person (bool): Whether the captions must not name another gender
            each, nor another than the metadata.
        names_difference (bool): Whether the sentences must name something
            that differs, and no item that is the same in both captions.
    """

    caption_words: tuple[int, int] = (5, 60)
    edit_words: tuple[int, int] = (2, 40)
    one_person: bool = True
    names_difference: bool = True

    def __post_init__(self) -> None:
        for name in ('caption_words', 'edit_words'):
            value = getattr(self, name)
            if not isinstance(value, list | tuple) or len(value) != 2:
                raise ValueError(
                    f'check.{name} must be the fewest and the most words, '
                    f'such as (5, 60), got {value!r}.'
                )
            check_whole(f'check.{name}[0]', value[0], least=0)
            check_whole(f'check.{name}[1]', value[1], least=value[0])

    def problem(self, found: Quadruple, metadata: Mapping[str, str]) -> str:
        """Say what is wrong.

        Args:
            found (Quadruple): The quadruple.
            metadata (Mapping[str, str]): What was asked for.

        Returns:
            str: In few words; '' if nothing is.
        """
        for name, text in found.to_dict().items():
            low, high = (
                self.caption_words if 'caption' in name else self.edit_words
            )
            if not low <= len(_words(text)) <= high:
                what = 'a caption' if 'caption' in name else 'a sentence'
                return f'{what} has not {low} to {high} words'
        before, after = found.reference_caption, found.target_caption
        if normalised(before) == normalised(after):
            return 'the captions are the same'
        if self.one_person:
            asked = metadata.get('gender', '')
            if len({*map(_gender, (before, after, asked))} - {''}) > 1:
                return 'the captions are of another gender'
        if self.names_difference:
            for edit, old, new in (
                (found.edit, before, after),
                (found.reverse_edit, after, before),
            ):
                if told := _edit_problem(edit, old, new):
                    return told
        return ''


def normalised(text: str) -> str:
    """Bring a text into a form in which near-duplicates are equal.

    Args:
        text (str): The text.

    Returns:
        str: Its words in lower case, without those that say nothing.
    """
    return ' '.join(w for w in _words(text) if w not in _EMPTY)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _gender(text: str) -> str:
    words = {*_words(text)}
    male, female = bool(words & _MALE), bool(words & _FEMALE)
    if male == female:  # none, or 'her' beside a man
        return ''
    return 'male' if male else 'female'


def _edit_problem(edit: str, before: str, after: str) -> str:
    said = {*_words(edit)} - _EMPTY
    old, new = {*_words(before)} - _EMPTY, {*_words(after)} - _EMPTY
    was, now = described_items(before), described_items(after)
    items = {item_of(word) for word in said} - {''}
    differ = {item for item in items if was.get(item) != now.get(item)}
    if not differ and not said & (old ^ new):
        return 'a sentence names nothing that differs'
    if (items - differ) & was.keys():
        return 'a sentence names what stays the same'
    return ''
