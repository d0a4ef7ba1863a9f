"""States of captions that a cross encoder pairs with many images."""

from collections.abc import Callable

import torch
from torch import Tensor

# Captions are cut to a multiple of so many tokens.
_STEP = 4


class HeldTexts:
    """States of captions, those of one length together.

    Made by :class:`PairScorer`.

    Args:
        encode (Callable): Yields states of tokens and masks.
        tokens (Tensor): Of shape (Q, L).
        mask (Tensor): Of shape (Q, L).
    """

    def __init__(self, encode: Callable, tokens: Tensor, mask: Tensor) -> None:
        self.lengths = _lengths(mask)
        place = torch.empty(len(tokens), dtype=torch.long)
        self._states = {}
        for length in self.lengths.unique().tolist():
            rows = (self.lengths == length).nonzero()[:, 0]
            place[rows] = torch.arange(len(rows))
            part = tokens[rows, :length], mask[rows, :length]
            states = torch.cat(list(encode(*part)))
            self._states[length] = (states, part[1].to(states.device))
        self._place = place.to(states.device)

    def take(self, rows: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """States (P, length, W) and masks of captions of one length."""
        states, mask = self._states[length]
        place = self._place[rows]
        return states.index_select(0, place), mask.index_select(0, place)


def _lengths(mask: Tensor) -> Tensor:
    """(Q, L) -> (Q, ), up to the last token that counts, rounded up."""
    mask = mask.cpu() != 0
    width = mask.shape[1]
    last = width - mask.flip(1).int().argmax(1)
    last = torch.where(mask.any(1), last, 1)
    return ((last + _STEP - 1) // _STEP * _STEP).clamp(max=width)
