"""Matching scores of many pairs of caption and image by a cross encoder.

The model offers

- ``encode_text(tokens, mask) -> (features, embeds (K, L, W))``
- ``image_keys_values(embeds (M, N, V))``: what cross-attention reads of
  images, tensors of M rows in any nesting of lists, tuples and dicts
- ``itm_scores(embeds (P, L, W), mask (P, L), keys_values=...) -> (P, )``
- if it can, ``prepare_text(embeds (K, L, W), mask) -> (K, L, W)``: what
  happens to a caption before it meets an image, done once for each caption;
  ``itm_scores`` is then called with ``prepared=True``

Captions are encoded once and cut to their length, rounded up to a multiple of
four, so that padding costs next to nothing. Keys and values are made once for
a block of the gallery and picked for each pair.

How a score is rounded depends on the batch it is computed in: on the size of
the batch and, with some kernels, on the pair's place in it. The batches are
therefore planned from all pairs of the test (:func:`plan_batches`), whatever
the number of processes, and whole batches are dealt to them. So a pair has
the same score to the bit for any number of processes.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mmtpr.utils.progress import progress

# Captions are cut to a multiple of so many tokens.
_STEP = 4


class PairBatch(NamedTuple):
    """Pairs that run together: captions of one length, images of one block.

    Attributes:
        length (int): Of the captions, in tokens.
        rows (Tensor): Captions, of shape (P, ), long.
        cols (Tensor): Columns of the candidate table, of shape (P, ), long.
        images (Tensor): Images, counted from the block's first, of shape
            (P, ), long.
    """

    length: int
    rows: Tensor
    cols: Tensor
    images: Tensor


class HeldTexts:
    """States of captions that meet many images, those of one length together.

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


class PairScorer:
    """Scores the pairs that a table of candidates names.

    In memory are, beside what is handed over: the states of ``query_block``
    captions, the keys and values of ``gallery_block`` images, and those
    and the activations of ``pair_batch`` pairs. With BERT-base over Swin-B
    these are 1.4 GB (56 tokens, 768 wide), 0.9 GB (six layers, 49 tokens)
    and about 0.5 GB in float32, whatever the size of the test set.

    Args:
        model (nn.Module): See the module's text.
        query_block (int): Captions whose states are held. With more captions
            keys and values are made once for each block of them. Defaults to
            8192.
        gallery_block (int): Images whose keys and values are held. Defaults
            to 512.
        pair_batch (int): Pairs that run at a time. Defaults to 128.
        text_batch (int): Captions encoded at a time. Defaults to 256.
        device (torch.device | str, optional): Where the model runs. Defaults
            to the device of its first parameter.

    Raises:
        TypeError: If the model lacks one of the three methods.
        ValueError: If a size is below 1.
    """

    def __init__(
        self,
        model: Any,
        query_block: int = 8192,
        gallery_block: int = 512,
        pair_batch: int = 128,
        text_batch: int = 256,
        device: torch.device | str | None = None,
    ) -> None:
        needed = ('encode_text', 'image_keys_values', 'itm_scores')
        absent = [name for name in needed if not hasattr(model, name)]
        if absent:
            raise TypeError(
                f'{type(model).__name__} has no {", ".join(absent)}: '
                'matching scores need a model with a cross encoder.'
            )
        self.sizes = dict(
            query_block=query_block,
            gallery_block=gallery_block,
            pair_batch=pair_batch,
            text_batch=text_batch,
        )
        for name, value in self.sizes.items():
            if value < 1:
                raise ValueError(f'{name} must be at least 1, got {value}.')
        self.model = model
        self.prepare = getattr(model, 'prepare_text', None)
        self.device = device or next(model.parameters()).device

    @torch.no_grad()
    def __call__(
        self,
        images: Sequence[Tensor] | Tensor,
        tokens: Tensor,
        mask: Tensor,
        index: Tensor,
        held: list[HeldTexts] | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> Tensor:
        """Score the candidates, or a share of them.

        Args:
            images (Sequence[Tensor] | Tensor): Embeddings of the whole
                gallery of G images, each of shape (N, V). Slices are taken
                of it, one for each block in which there are candidates, by
                every process alike.
            tokens (Tensor): Of all captions, of shape (Q, L), padded at the
                end.
            mask (Tensor): 1 where a token counts, of shape (Q, L).
            index (Tensor): Candidates of each caption by gallery index, of
                shape (Q, k).
            held (list[HeldTexts], optional): The captions as :meth:`hold`
                gave them, where they meet images again and again. Defaults
                to None: they are encoded, a block at a time.
            share (tuple[int, int]): Number of this process and of all of
                them: every so manieth batch of the plan is run. The shares
                of all processes add up to what one process gives, to the
                bit. Defaults to (0, 1), all batches.

        Returns:
            Tensor: Of shape (Q, k), float32, on the CPU; 0 for candidates
            of other shares.
        """
        index = index.cpu()
        scores = torch.zeros(index.shape, device=self.device)
        size, number = self.sizes['gallery_block'], 0
        # Held captions: one of many short calls, which the loop logs.
        total = 0 if held else index.numel()
        with progress(total, 'Scoring pairs') as done:
            for start in range(0, len(index), self.sizes['query_block']):
                rows = slice(start, start + self.sizes['query_block'])
                texts = self._texts(held, start, tokens[rows], mask[rows])
                for first in range(0, len(images), size):
                    batches = plan_batches(
                        index[rows],
                        texts.lengths,
                        range(first, min(first + size, len(images))),
                        self.sizes['pair_batch'],
                    )
                    if not batches:
                        continue
                    block = images[first : first + size]
                    mine = batches[(share[0] - number) % share[1] :: share[1]]
                    number += len(batches)
                    if mine:
                        self._score_block(texts, block, mine, scores[rows])
                    # Of all processes, which are about as far.
                    done(sum(len(batch.rows) for batch in batches))
        return scores.cpu()

    def _texts(
        self,
        held: list[HeldTexts] | None,
        start: int,
        tokens: Tensor,
        mask: Tensor,
    ) -> HeldTexts:
        """Captions of the block from ``start``, as held or encoded now."""
        texts = held[start // self.sizes['query_block']] if held else None
        return texts or HeldTexts(self._encode, tokens, mask)

    @torch.no_grad()
    def hold(self, tokens: Tensor, mask: Tensor) -> list[HeldTexts]:
        """Encode captions for any number of calls.

        Args:
            tokens (Tensor): Of all captions, of shape (Q, L).
            mask (Tensor): 1 where a token counts, of shape (Q, L).

        Returns:
            list[HeldTexts]: The captions of each ``query_block``.
        """
        size = self.sizes['query_block']
        blocks = zip(tokens.split(size), mask.split(size), strict=True)
        return [HeldTexts(self._encode, *block) for block in blocks]

    def _score_block(
        self,
        texts: HeldTexts,
        images: Sequence[Tensor] | Tensor,
        batches: list[PairBatch],
        out: Tensor,
    ) -> None:
        """Write the scores of some batches of one block of images."""
        if not isinstance(images, Tensor):
            images = torch.stack(list(images))  # (M, N, V)
        values = self.model.image_keys_values(images.to(self.device))
        known = dict(prepared=True) if self.prepare else {}
        for length, *where in batches:
            rows, cols, image = torch.stack(where).to(self.device)
            picked = map_tensors(partial(_pick, index=image), values)
            states, mask = texts.take(rows, length)  # (P, length, W)
            scores = self.model.itm_scores(
                states, mask, keys_values=picked, **known
            )
            out[rows, cols] = scores.float()

    def _encode(self, tokens: Tensor, mask: Tensor) -> Iterator[Tensor]:
        """Yield the states of some captions at a time."""
        size = self.sizes['text_batch']
        for start in range(0, len(tokens), size):
            some = slice(start, start + size)
            counts = mask[some].to(self.device)
            _, states = self.model.encode_text(
                tokens[some].to(self.device), counts
            )
            yield self.prepare(states, counts) if self.prepare else states


def map_tensors(function: Callable[[Tensor], Tensor], values: Any) -> Any:
    """Apply a function to all tensors of a nested structure.

    Args:
        function (Callable[[Tensor], Tensor]): The function.
        values (Tensor | list | tuple | dict | None): The structure.

    Returns:
        Any: The same structure of the results.
    """
    if isinstance(values, Tensor):
        return function(values)
    if isinstance(values, dict):
        return {k: map_tensors(function, v) for k, v in values.items()}
    if isinstance(values, (list, tuple)):
        return type(values)(map_tensors(function, v) for v in values)
    return values


def plan_batches(
    index: Tensor, lengths: Tensor, block: range, size: int
) -> list[PairBatch]:
    """Plan the batches of all pairs with images of a block.

    The plan follows from the pairs alone. It knows no processes.

    Args:
        index (Tensor): Candidates of each caption by gallery index, of shape
            (Q, k), long.
        lengths (Tensor): Lengths of the captions, of shape (Q, ), long.
        block (range): Gallery indices of the block.
        size (int): Most pairs in a batch.

    Returns:
        list[PairBatch]: Pairs of one length after those of a shorter one,
        each length in the order of the table.
    """
    inside = (index >= block.start) & (index < block.stop)  # (Q, k)
    rows, cols = inside.nonzero(as_tuple=True)  # (P, )
    images = index[rows, cols] - block.start
    own = lengths[rows]
    batches = []
    for length in own.unique().tolist():
        same = (own == length).nonzero()[:, 0]
        batches += [
            PairBatch(length, rows[some], cols[some], images[some])
            for some in same.split(size)
        ]
    return batches


def _pick(values: Tensor, index: Tensor) -> Tensor:
    return values.index_select(0, index)


def _lengths(mask: Tensor) -> Tensor:
    """(Q, L) -> (Q, ), up to the last token that counts, rounded up."""
    mask = mask.cpu() != 0
    width = mask.shape[1]
    last = width - mask.flip(1).int().argmax(1)
    last = torch.where(mask.any(1), last, 1)
    return ((last + _STEP - 1) // _STEP * _STEP).clamp(max=width)
