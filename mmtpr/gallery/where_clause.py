"""Filters on columns, written as text: parsed, never run as Python."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

#: What a column is compared with.
Literal = bool | int | float | str
#: Comparisons, and the symbols that mean the same.
_OPERATORS = {'=': '==', '==': '==', '!=': '!=', '<>': '!='}
_OPERATORS |= {'<': '<', '<=': '<=', '>': '>', '>=': '>='}
_WORDS = ('and', 'or', 'not', 'in', 'true', 'false')
#: Parentheses and negations inside each other.
_MOST_DEEP = 50
_MOST_LONG = 100_000
_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?!\w))
    |(?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
    |(?P<quoted>`[^`]+`)
    |(?P<name>[^\W\d]\w*)
    |(?P<symbol><=|>=|==|!=|<>|[<>=(),\[\]])
    )""",
    re.VERBOSE,
)


class WhereError(ValueError):
    """A filter that cannot be read, or does not go with the columns."""


@dataclass(frozen=True)
class Comparison:
    """A column compared with a value.

    Attributes:
        column (str): Its name.
        operator (str): One of ``==``, ``!=``, ``<``, ``<=``, ``>``, ``>=``.
        value (bool | int | float | str): The value.
    """

    column: str
    operator: str
    value: Literal


@dataclass(frozen=True)
class Membership:
    """A column whose value is one of a list.

    Attributes:
        column (str): Its name.
        values (tuple): The list, not empty.
    """

    column: str
    values: tuple[Literal, ...]


@dataclass(frozen=True)
class Negation:
    """What a condition is not.

    Attributes:
        part (Condition): The condition.
    """

    part: 'Condition'


@dataclass(frozen=True)
class Junction:
    """Conditions of which all or any hold.

    Attributes:
        word (str): ``and`` or ``or``.
        parts (tuple[Condition, ...]): Two or more.
    """

    word: str
    parts: tuple['Condition', ...]


Condition = Comparison | Membership | Negation | Junction


def parse_where(text: str) -> Condition:
    """Read a filter.

    Comparisons of a column with a number, a quoted text, ``true`` or
    ``false``, and ``in`` with a list of these, joined by ``and``, ``or``,
    ``not`` and parentheses. A column whose name is no word stands in
    backquotes; a quote inside a text is doubled.

    Args:
        text (str): Such as ``camera == 3 and time > '2024-05-01'``.

    Returns:
        Condition: The filter.

    Raises:
        WhereError: If it is none, saying where.

    Examples:
        >>> parse_where('camera in (1, 2)')
        Membership(column='camera', values=(1, 2))
    """
    if not isinstance(text, str):
        raise WhereError(f'A filter is a text, got {text!r}.')
    if len(text) > _MOST_LONG:
        raise WhereError(
            f'The filter has {len(text)} characters; at most {_MOST_LONG} are '
            'read.'
        )
    return _Parser(text).whole()


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    place: int


def _tokens(text: str) -> Iterator[_Token]:
    place, end = 0, len(text.rstrip())
    while place < end:
        found = _TOKEN.match(text, place)
        if found is None:
            place += len(text[place:]) - len(text[place:].lstrip())
            _refuse(text, place, f'{text[place]!r} has no meaning here')
        kind = str(found.lastgroup)
        yield _Token(kind, found[kind], found.start(kind))
        place = found.end()
    yield _Token('end', '', len(text))


def _refuse(text: str, place: int, why: str) -> NoReturn:
    raise WhereError(
        f'The filter "{_short(text)}" cannot be read at character '
        f'{place + 1}: {why}. Write it like: camera == 3 and not time > '
        "'2024-05-01'."
    )


def _short(text: str) -> str:
    return text if len(text) <= 80 else f'{text[:77]}...'


class _Parser:
    """A parser by recursive descent; each method reads what it names."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(_tokens(text))
        self.place = 0
        self.deep = 0

    def whole(self) -> Condition:
        found = self.junction('or')
        if self.next.kind != 'end':
            self.refuse('"and", "or" or the end')
        return found

    def junction(self, word: str) -> Condition:
        """Conditions joined by a word; "and" binds closer than "or"."""
        parts = [self.part(word)]
        while self.skip_word(word):
            parts.append(self.part(word))
        return parts[0] if len(parts) == 1 else Junction(word, tuple(parts))

    def part(self, word: str) -> Condition:
        return self.junction('and') if word == 'or' else self.negation()

    def negation(self) -> Condition:
        self.deep += 1
        if self.deep > _MOST_DEEP:
            _refuse(
                self.text,
                self.next.place,
                f'more than {_MOST_DEEP} parentheses or "not" inside each '
                'other',
            )
        found: Condition
        if self.skip_word('not'):
            found = Negation(self.negation())
        elif self.skip_symbol('('):
            found = self.junction('or')
            self.need_symbol(')')
        else:
            found = self.comparison()
        self.deep -= 1
        return found

    def comparison(self) -> Condition:
        column = self.column()
        if self.skip_word('not'):
            if not self.skip_word('in'):
                self.refuse('"in" after "not"')
            return Negation(Membership(column, self.values()))
        if self.skip_word('in'):
            return Membership(column, self.values())
        operator = _OPERATORS.get(self.next.text)
        if self.next.kind != 'symbol' or operator is None:
            self.refuse('a comparison (==, !=, <, <=, >, >=, in)')
        self.place += 1
        return Comparison(column, operator, self.value())

    def column(self) -> str:
        token = self.next
        if token.kind == 'quoted':
            self.place += 1
            return token.text[1:-1]
        if token.kind != 'name' or token.text.lower() in _WORDS:
            self.refuse('the name of a column')
        self.place += 1
        return token.text

    def values(self) -> tuple[Literal, ...]:
        closing = ']' if self.skip_symbol('[') else ')'
        if closing == ')':
            self.need_symbol('(')
        found = [self.value()]
        while self.skip_symbol(','):
            found.append(self.value())
        self.need_symbol(closing)
        return tuple(found)

    def value(self) -> Literal:
        token = self.next
        word = token.text.lower() if token.kind == 'name' else ''
        if word in ('true', 'false'):
            self.place += 1
            return word == 'true'
        if token.kind == 'text':
            self.place += 1
            quote = token.text[0]
            return token.text[1:-1].replace(quote * 2, quote)
        if token.kind != 'number':
            self.refuse('a number, a text in quotes, true or false')
        number = float(token.text)
        if math.isinf(number):
            self.refuse('a number below 1.8e308')
        self.place += 1
        # Python reads no whole number of thousands of digits, such as zeros.
        whole = re.fullmatch(r'[-+]?\d{1,400}', token.text)
        return int(token.text) if whole else number

    @property
    def next(self) -> _Token:
        return self.tokens[self.place]

    def skip_word(self, word: str) -> bool:
        found = self.next.kind == 'name' and self.next.text.lower() == word
        self.place += found
        return found

    def skip_symbol(self, symbol: str) -> bool:
        found = self.next.kind == 'symbol' and self.next.text == symbol
        self.place += found
        return found

    def need_symbol(self, symbol: str) -> None:
        if not self.skip_symbol(symbol):
            self.refuse(f'"{symbol}"')

    def refuse(self, wanted: str) -> NoReturn:
        token = self.next
        found = f'"{_short(token.text)}"' if token.text else 'the end'
        _refuse(self.text, token.place, f'expected {wanted}, found {found}')
