"""The fit of a state dict to a model, key by key, in torch's words."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from .completeness import fits_shape, may_lack

#: Keys, or a function that says of a key whether it is meant.
Names = Callable[[str], bool] | Collection[str]

_WORDS = re.compile(r'(?:token_embedding|word_embeddings)\.weight')


@dataclass(frozen=True)
class Fit:
    """Keys in which a state dict and a model differ.

    Attributes:
        missing (tuple[str, ...]): Keys of the model that are not given, but
            for those that files of former versions have not.
        unexpected (tuple[str, ...]): Given keys that the model has not.
        mismatched (tuple[str, ...]): Keys of both, with another shape.
        fitting (tuple[str, ...]): Keys of both, with the same shape.
        shapes (Mapping[str, str]): Both shapes of mismatched keys, as text.
        vocabulary (str): A clause on vocabularies of different size, if they
            are; see :func:`vocabulary_gap`.
    """

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]
    fitting: tuple[str, ...]
    shapes: Mapping[str, str]
    vocabulary: str = ''

    @classmethod
    def of(
        cls, state: Mapping[str, Tensor], own: Mapping[str, Tensor]
    ) -> 'Fit':
        """Compare a state dict with a model's.

        Args:
            state (Mapping[str, Tensor]): The weights.
            own (Mapping[str, Tensor]): State dict of the model, which may lie
                on the meta device.

        Returns:
            Fit: The differences.

        Raises:
            ValueError: If a weight is no tensor.
        """
        common = [key for key in own if key in state]
        for key in common:
            if not isinstance(state[key], Tensor):
                raise ValueError(
                    f'The weight {key} is no tensor but '
                    f'{type(state[key]).__name__} {str(state[key])[:40]!r}: '
                    'the checkpoint is damaged, or was changed by hand.'
                )
        shapes = {
            key: f'{key} {tuple(state[key].shape)} for {tuple(own[key].shape)}'
            for key in common
            if not fits_shape(key, state[key], own[key])
        }
        return cls(
            tuple(k for k in own if k not in state and not may_lack(k)),
            tuple(key for key in state if key not in own),
            tuple(shapes),
            tuple(key for key in common if key not in shapes),
            shapes,
            vocabulary_gap(state, own),
        )

    @property
    def whole(self) -> bool:
        """All keys agree."""
        return not (self.missing or self.unexpected or self.mismatched)

    def without(
        self,
        missing: Names = (),
        unexpected: Names = (),
        mismatched: Names = (),
    ) -> 'Fit':
        """Leave out differences that are meant.

        Args:
            missing (Callable | Collection): Missing keys to leave out, or a
                function that tells.
            unexpected (Callable | Collection): Likewise.
            mismatched (Callable | Collection): Likewise.

        Returns:
            Fit: The other differences.
        """
        pairs = dict(
            missing=missing, unexpected=unexpected, mismatched=mismatched
        )
        rest: dict[str, Any] = {
            name: tuple(_without(getattr(self, name), names))
            for name, names in pairs.items()
        }
        return replace(self, **rest)

    def counts(self) -> str:
        """Count the differences.

        Returns:
            str: Such as ``'3 missing keys (e.g. a, b, c) and 1 unexpected
            key (d)'``.
        """
        named = dict(
            missing=self.missing,
            unexpected=self.unexpected,
            mismatched=[self.shapes[key] for key in self.mismatched],
        )
        parts = [count_keys(kind, keys) for kind, keys in named.items()]
        return ' and '.join(filter(None, parts))

    def raise_for(
        self, source: str, hint: str = '', error: type = ValueError
    ) -> None:
        """Stop where keys differ.

        Args:
            source (str): Where the weights are from, for the message.
            hint (str): Sentence to add. Defaults to ''.
            error (type): Class of the error. Defaults to ValueError.

        Raises:
            ValueError: Or the given class, with the counts and some names. A
                vocabulary of another size is named as such.
        """
        if not self.whole:
            raise error(
                f'"{source}" does not fit the model: {self.vocabulary}'
                f'{self.counts()}.{" " * bool(hint)}{hint}'
            )


def _without(keys: Iterable[str], names: Names) -> list[str]:
    if callable(names):
        return [key for key in keys if not names(key)]
    return [key for key in keys if key not in names]


def count_keys(kind: str, keys: Collection[str], limit: int = 3) -> str:
    """Count keys of a kind and name some.

    Args:
        kind (str): ``'missing'``, ``'unexpected'`` or ``'mismatched'``.
        keys (Collection[str]): The keys.
        limit (int): Keys that are named. Defaults to 3.

    Returns:
        str: Empty without keys.
    """
    if not keys:
        return ''
    some = ', '.join([*keys][:limit])
    some = f'e.g. {some}' if len(keys) > limit else some
    return f'{len(keys)} {kind} key{"s" * (len(keys) > 1)} ({some})'


def vocabulary_gap(
    state: Mapping[str, Tensor], own: Mapping[str, Tensor]
) -> str:
    """Say that vocabularies differ, if they do.

    Args:
        state (Mapping[str, Tensor]): The weights.
        own (Mapping[str, Tensor]): State dict of the model.

    Returns:
        str: A clause that ends in "; ", empty if they agree.
    """
    for key in own:
        if key not in state or not _WORDS.search(key):
            continue
        theirs, ours = len(state[key]), len(own[key])
        if theirs != ours:
            return (
                f'the vocabulary has {theirs} words there and {ours} in the '
                'model, so they are not of one tokenizer (vocab_size); '
            )
    return ''
