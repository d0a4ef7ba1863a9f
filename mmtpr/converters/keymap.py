"""Two-way maps between the key names of two layouts of one model."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor

#: Hole of a name -> what may stand there.
_HOLES = {
    'i': r'\d+',
    'j': r'\d+',
    'k': r'\d+',
    'p': r'[^.]+',
    'rest': r'.+',
}
_HOLE = re.compile(r'\{(\w+)\}')


@dataclass(frozen=True)
class Rule:
    """One line of a key map: a whole name in each of two layouts.

    Names have holes that are the same on both sides: ``{i}``, ``{j}`` and
    ``{k}`` stand for numbers, ``{p}`` for one part between dots, ``{rest}``
    for anything.

    Args:
        source (str): Name in the first layout.
        target (str): Name in the second layout.
        change (Callable, optional): Tensor of the first layout -> of the
            second. Defaults to None: it stays as it is.
        undo (Callable, optional): The way back.
    """

    source: str
    target: str
    change: Callable[[Tensor], Tensor] | None = None
    undo: Callable[[Tensor], Tensor] | None = None

    def inverse(self) -> 'Rule':
        """The same line read from right to left."""
        return Rule(self.target, self.source, self.undo, self.change)


@dataclass
class Converted:
    """A state dict under other names; no key is lost.

    Attributes:
        state (dict[str, Tensor]): The tensors by their new names.
        ignored (dict[str, str]): Old name -> why it is left out.
    """

    state: dict[str, Tensor] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)


def same_names(*names: str, source: str = '', target: str = '') -> list[Rule]:
    """Rules for names that differ by what stands before them.

    Args:
        *names (str): Names with holes.
        source (str): What stands before them in the first layout.
        target (str): What stands before them in the second layout.

    Returns:
        list[Rule]: One rule a name.
    """
    return [Rule(source + name, target + name) for name in names]


def prefixed(
    rules: Iterable[Rule], source: str = '', target: str = ''
) -> list[Rule]:
    """The same rules for a model that is a part of another one.

    Args:
        rules (Iterable[Rule]): Rules of the part.
        source (str): What stands before its names in the first layout.
        target (str): What stands before its names in the second layout.

    Returns:
        list[Rule]: The longer rules.
    """
    return [
        replace(rule, source=source + rule.source, target=target + rule.target)
        for rule in rules
    ]


class KeyMap:
    """A map between two layouts that accounts for every key.

    Args:
        source (str): What the first layout is called, for messages.
        target (str): What the second layout is called.
        rules (Iterable[Rule]): The names; the first that fits is taken.
        ignored (Mapping[str, str], optional): Name with holes in the first
            layout -> why it has no place in the second.
        ignored_back (Mapping[str, str], optional): Name with holes in the
            second layout -> why it has no place in the first.

    Examples:
        >>> key_map = KeyMap('theirs', 'ours', [Rule('a.{p}', 'b.{p}')])
        >>> list(key_map({'a.weight': torch.ones(1)}).state)
        ['b.weight']
    """

    def __init__(
        self,
        source: str,
        target: str,
        rules: Iterable[Rule],
        ignored: Mapping[str, str] | None = None,
        ignored_back: Mapping[str, str] | None = None,
    ) -> None:
        self.source, self.target = source, target
        self.rules = tuple(rules)
        self.ignored = dict(ignored or {})
        self.ignored_back = dict(ignored_back or {})
        self._patterns = [(_compile(r.source), r) for r in self.rules]
        self._reasons = [(_compile(n), r) for n, r in self.ignored.items()]

    def inverse(self) -> 'KeyMap':
        """The way back.

        Returns:
            KeyMap: From the second layout to the first.
        """
        return KeyMap(
            self.target,
            self.source,
            [rule.inverse() for rule in self.rules],
            self.ignored_back,
            self.ignored,
        )

    def __call__(
        self, state: Mapping[str, Tensor], ignore: str | None = None
    ) -> Converted:
        """Rename a state dict. Floating tensors become float32.

        Args:
            state (Mapping[str, Tensor]): Names of the first layout.
            ignore (str, optional): Regular expression of further whole names
                to leave out. Defaults to None.

        Returns:
            Converted: All keys, renamed or ignored.

        Raises:
            ValueError: If a key is known to no rule, or two become one.
        """
        result, unknown = Converted(), []
        origin: dict[str, str] = {}
        for key, value in state.items():
            if reason := self._why_ignored(key, ignore):
                result.ignored[key] = reason
                continue
            if not isinstance(value, Tensor):
                unknown.append(f'{key} (a {type(value).__name__}, no tensor)')
                continue
            name, value = self._rename(key, value)
            if name is None:
                unknown.append(key)
            elif name in origin:
                raise ValueError(
                    f'"{origin[name]}" and "{key}" of {self.source} both '
                    f'become "{name}" of {self.target}.'
                )
            else:
                origin[name], result.state[name] = key, value
        if unknown:
            raise ValueError(
                f'{len(unknown)} keys belong to no part of {self.source} that '
                f'{self.target} knows, e.g. {", ".join(unknown[:3])}. If they '
                'are not needed, name them with a regular expression (ignore; '
                '--ignore of tools/model_converters).'
            )
        return result

    def _why_ignored(self, key: str, ignore: str | None) -> str | None:
        for pattern, reason in self._reasons:
            if pattern.fullmatch(key):
                return reason
        if ignore is not None and re.fullmatch(ignore, key):
            return f'asked for by "{ignore}"'
        return None

    def _rename(self, key: str, value: Tensor) -> tuple[str | None, Tensor]:
        for pattern, rule in self._patterns:
            match = pattern.fullmatch(key)
            if match:
                value = value.float() if value.is_floating_point() else value
                value = rule.change(value) if rule.change else value
                return rule.target.format(**match.groupdict()), value
        return None, value


def _compile(name: str) -> re.Pattern:
    """The regular expression of a whole name with holes."""
    seen, pattern = set(), ''
    for number, piece in enumerate(_HOLE.split(name)):
        if number % 2 == 0:
            pattern += re.escape(piece)
        elif piece in seen:
            pattern += f'(?P={piece})'
        else:
            seen.add(piece)
            pattern += f'(?P<{piece}>{_HOLES[piece]})'
    return re.compile(pattern)
