"""Masking of whole words and of short runs of words."""

from collections.abc import Callable
from typing import Any

import numpy as np

_SPECIAL = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]')
_IGNORE = -100


def hide_tokens(
    tokens: np.ndarray,
    chosen: np.ndarray,
    mask_id: int,
    draw: Callable[[int], np.ndarray],
    random: Callable[[int], np.ndarray] = np.random.random,
) -> tuple[np.ndarray, np.ndarray]:
    """Hide chosen tokens as BERT's training did.

    Of the chosen, 80 % become the mask token, 10 % a random token and 10 %
    stay.

    Args:
        tokens (ndarray): Token ids of shape (L, ).
        chosen (ndarray): Indices of the K chosen tokens, (K, ).
        mask_id (int): Id of the mask token.
        draw (Callable[[int], ndarray]): Draws so many random token ids.
        random (Callable[[int], ndarray]): Draws so many numbers in [0, 1).
            Defaults to numpy's global source.

    Returns:
        tuple[ndarray, ndarray]: Tokens with some hidden, and the true ids
        where they are chosen, else -100, both of shape (L, ).
    """
    labels = np.full_like(tokens, _IGNORE)
    labels[chosen] = tokens[chosen]
    masked = tokens.copy()
    fate = random(len(chosen))
    masked[chosen[fate < 0.8]] = mask_id
    others = chosen[(fate >= 0.8) & (fate < 0.9)]
    masked[others] = draw(len(others))
    return masked, labels


class WordMasker:
    """Chooses words of BERT's tokens and hides them.

    As APTM trains: places are visited in random order until enough tokens
    are chosen; each takes its whole word along, and with probability
    ``skipgram_prob`` a run of up to ``skipgram_size`` tokens with their
    words. What is too much is dropped at random. Of the chosen, 80 % become
    [MASK], 10 % another word and 10 % stay.

    Special tokens are never chosen. The release also draws from padding and
    [SEP], so that of its ten masks a short caption gets few.

    Args:
        tokenizer (tokenizers.Tokenizer): Of BERT.
        prob (float): Share of the tokens to choose, at least one token.
            Defaults to 0.25.
        max_masked (int): Most tokens to choose. Defaults to 10.
        skipgram_prob (float): Probability of a run. Defaults to 0.2.
        skipgram_size (int): Longest run, at least 2. Defaults to 3.
        whole_word (bool): Whether words go as a whole. Defaults to True.

    Raises:
        ValueError: If a number is out of range or the vocabulary has no
            [MASK].
    """

    def __init__(
        self,
        tokenizer: Any,
        prob: float = 0.25,
        max_masked: int = 10,
        skipgram_prob: float = 0.2,
        skipgram_size: int = 3,
        whole_word: bool = True,
    ) -> None:
        if not (0 < prob <= 1 and 0 <= skipgram_prob <= 1):
            raise ValueError(
                f'prob={prob} must be in (0, 1] and skipgram_prob='
                f'{skipgram_prob} in [0, 1].'
            )
        if max_masked < 1 or skipgram_size < 2:
            raise ValueError(
                f'max_masked={max_masked} must be at least 1 and '
                f'skipgram_size={skipgram_size} at least 2.'
            )
        words = tokenizer.get_vocab()
        if '[MASK]' not in words:
            raise ValueError('Masking words needs [MASK] in the vocabulary.')
        self.prob, self.max_masked = prob, max_masked
        self.skipgram_prob, self.skipgram_size = skipgram_prob, skipgram_size
        self.mask_id = words['[MASK]']
        size = max(words.values()) + 1
        self._continues = np.zeros(size, dtype=bool)
        self._ordinary = np.zeros(size, dtype=bool)
        for word, index in words.items():
            self._continues[index] = whole_word and word.startswith('##')
            self._ordinary[index] = word not in _SPECIAL and not (
                word.startswith('[unused')
            )
        self._drawn = np.flatnonzero(self._ordinary)

    def __call__(
        self, tokens: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Hide words.

        Args:
            tokens (ndarray): Token ids of shape (L, ).
            rng (Generator): Source of randomness.

        Returns:
            tuple[ndarray, ndarray]: Tokens with some hidden, and the true ids
            where they are hidden, else -100, both of shape (L, ).
        """
        return hide_tokens(
            tokens,
            self.choose(tokens, rng),
            self.mask_id,
            lambda number: rng.choice(self._drawn, number),
            rng.random,
        )

    def choose(
        self, tokens: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Choose places.

        Args:
            tokens (ndarray): Token ids of shape (L, ).
            rng (Generator): Source of randomness.

        Returns:
            ndarray: Places in ascending order; none if there are no words.
        """
        places = np.flatnonzero(self._ordinary[tokens])
        wanted = min(self.max_masked, max(1, round(len(places) * self.prob)))
        # A list: single items of an array are slow to get.
        continues = self._continues[tokens[places]].tolist()
        chosen: set[int] = set()
        for place in rng.permutation(len(places)).tolist():
            if len(chosen) >= wanted:
                break
            if place not in chosen:
                chosen.update(self._run(place, continues, rng))
        found = places[sorted(chosen)]
        if len(found) > wanted:
            found = np.sort(rng.choice(found, wanted, replace=False))
        return found

    def _run(
        self, place: int, continues: list[bool], rng: np.random.Generator
    ) -> range:
        """The word at a place, or a run that begins in it."""
        start, end = place, place + 1
        if rng.random() < self.skipgram_prob:
            end = place + int(rng.integers(2, self.skipgram_size + 1))
        while start > 0 and continues[start]:
            start -= 1
        while end < len(continues) and continues[end]:
            end += 1
        return range(start, min(end, len(continues)))
