"""Captions with one word changed for another that fits in its place."""

import torch
from torch import Tensor


def swap_tokens(
    tokens: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """Change one token of each caption for one that others have in its place.

    A token may take the place of another where the captions of the batch have
    both between the same two neighbours: "a red coat" becomes "a blue coat"
    because some caption says "a blue coat". So it needs no list of words and
    no grammar, and does for any vocabulary; start, end and padding, whose
    neighbours allow nothing else, stay as they are. The place and the token
    are drawn; of equal chance are all places, and all tokens seen there.

    Args:
        tokens (Tensor): Token ids of B captions, (B, L), long.
        generator (Generator, optional): Of the device of the tokens. Defaults
            to None, torch's own.

    Returns:
        Tensor: Of the same shape; a caption of which no token has another one
        for its place is unchanged.

    Examples:
        >>> tokens = torch.tensor([[1, 5, 2], [1, 7, 2]])
        >>> swap_tokens(tokens).tolist()
        [[1, 7, 2], [1, 5, 2]]
    """
    if tokens.dim() != 2:
        raise ValueError(
            f'tokens must have the shape (B, L), got {tuple(tokens.shape)}.'
        )
    out = tokens.clone()
    if tokens.shape[0] == 0 or tokens.shape[1] < 3:
        return out
    base = int(tokens.max()) + 1
    between = tokens[:, :-2] * base + tokens[:, 2:]  # (B, L - 2)
    words = tokens[:, 1:-1]
    # A number for each word in its place; sorted, those of a place are
    # neighbours.
    known, which = torch.unique(between * base + words, return_inverse=True)
    _, group, count = torch.unique_consecutive(
        known // base, return_inverse=True, return_counts=True
    )
    first = count.cumsum(0) - count
    group = group[which]  # (B, L - 2)
    number, first = count[group], first[group]

    def draw() -> Tensor:
        size = words.shape
        return torch.rand(size, generator=generator, device=tokens.device)

    step = 1 + (draw() * (number - 1)).long().clamp(max=base)
    # float32 may round up to the number itself.
    step = torch.minimum(step, (number - 1).clamp(min=1))
    other = known[first + (which - first + step) % number] % base
    chance = draw().masked_fill(number < 2, -1)
    place = chance.argmax(1, keepdim=True)  # (B, 1)
    can = chance.gather(1, place) >= 0
    new = torch.where(can, other.gather(1, place), words.gather(1, place))
    return out.scatter_(1, place + 1, new)
