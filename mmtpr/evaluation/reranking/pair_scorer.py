"""Matching scores of many pairs of caption and picture by a cross encoder.

The model offers

- ``encode_text(tokens, mask) -> (features, embeds (K, L, W))``
- ``image_keys_values(embeds (M, N, V))``: what cross-attention reads of
  pictures, tensors of M rows in any nesting of lists, tuples and dicts
- ``itm_scores(embeds (P, L, W), mask (P, L), keys_values=...) -> (P, )``
- if it can, ``prepare_text(embeds (K, L, W), mask) -> (K, L, W)``: what
  happens to a caption before it meets a picture, done once for each caption;
  ``itm_scores`` is then called with ``prepared=True``

Keys and values are made once for a block of pictures and picked for each
pair. Captions are encoded once and cut to their length, rounded up to a
multiple of four, so that padding costs next to nothing. Pairs run in batches
of one shape for each length, the last one filled up: a pair gets the same
score whatever else runs with it, hence for any number of processes.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .held_texts import HeldTexts


class PairScorer:
    """Scores the pairs that a table of candidates names.

    In memory are, beside what is handed over: the states of ``query_block``
    captions, the keys and values of ``gallery_block`` pictures, and those
    and the activations of ``pair_batch`` pairs. With BERT-base over Swin-B
    these are 1.4 GB (56 tokens, 768 wide), 0.9 GB (six layers, 49 tokens)
    and about 0.5 GB in float32, whatever the size of the test set.

    Args:
        model (nn.Module): See the module's text.
        query_block (int): Captions whose states are held. With more captions
            keys and values are made once for each block of them. Defaults to
            8192.
        gallery_block (int): Pictures whose keys and values are held. Defaults
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
        images: Sequence[Tensor],
        places: Tensor,
        tokens: Tensor,
        mask: Tensor,
        index: Tensor,
        num_images: int | None = None,
        held: list[HeldTexts] | None = None,
    ) -> Tensor:
        """Score the candidates that are among the given pictures.

        Args:
            images (Sequence[Tensor]): Embeddings of I pictures, each of shape
                (N, V).
            places (Tensor): Their indices in the gallery, of shape (I, ).
            tokens (Tensor): Of all captions, of shape (Q, L), padded at the
                end.
            mask (Tensor): 1 where a token counts, of shape (Q, L).
            index (Tensor): Candidates of each caption by gallery index, of
                shape (Q, k).
            num_images (int, optional): Size of the whole gallery, where
                ``images`` is a part of it. Defaults to I.
            held (list[HeldTexts], optional): The captions as :meth:`hold`
                gave them, where they meet pictures again and again. Defaults
                to None: they are encoded, a block at a time.

        Returns:
            Tensor: Of shape (Q, k), float32, on the CPU; 0 for candidates
            that are not among the pictures.
        """
        index, places = index.cpu(), places.cpu()
        total = max(num_images or 0, len(images), int(index.max()) + 1)
        size = max(1, min(self.sizes['gallery_block'], total))
        scores = torch.zeros(index.shape, device=self.device)
        for start in range(0, len(index), self.sizes['query_block']):
            rows = slice(start, start + self.sizes['query_block'])
            texts = held[start // self.sizes['query_block']] if held else None
            texts = texts or HeldTexts(self._encode, tokens[rows], mask[rows])
            for first in range(0, len(images), size):
                block = slice(first, first + size)
                table = _places_in_block(index[rows], places[block], total)
                self._score_block(
                    texts, images[block], size, table, scores[rows]
                )
        return scores.cpu()

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
        images: Sequence[Tensor],
        size: int,
        table: Tensor,
        out: Tensor,
    ) -> None:
        """Write the scores of pairs with one block of pictures."""
        pairs = _pairs_by_length(table, texts.lengths)
        if not pairs:
            return
        values = self._keys_values(images, size)
        for length, *where in pairs:
            take = partial(texts.take, length=length)
            batch = texts.count(length) * table.shape[1]
            batch = min(self.sizes['pair_batch'], batch)
            # One copy for all pairs of a length.
            rows, cols, places = torch.stack(where).to(self.device)
            out[rows, cols] = self._score(take, rows, places, values, batch)

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

    def _keys_values(self, images: Sequence[Tensor], size: int) -> Any:
        chosen = _fill(torch.arange(len(images)), size).tolist()
        embeds = torch.stack([images[i] for i in chosen])
        return self.model.image_keys_values(embeds.to(self.device))

    def _score(
        self,
        text: Callable,
        rows: Tensor,
        images: Tensor,
        values: Any,
        size: int,
    ) -> Tensor:
        """(P, ) captions and pictures of the block -> (P, ) float32."""
        parts = []
        known = dict(prepared=True) if self.prepare else {}
        for start in range(0, len(rows), size):
            some = slice(start, start + size)
            image = _fill(images[some], size)
            picked = map_tensors(partial(_pick, index=image), values)
            states, mask = text(_fill(rows[some], size))
            found = self.model.itm_scores(
                states, mask, keys_values=picked, **known
            )
            parts.append(found.float()[: len(rows[some])])
        return torch.cat(parts)


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


def _places_in_block(index: Tensor, places: Tensor, total: int) -> Tensor:
    """(Q, k) gallery indices -> places in a block of pictures, or -1."""
    local = torch.full((total,), -1)
    local[places] = torch.arange(len(places))
    return local[index]


def _pairs_by_length(
    table: Tensor, lengths: Tensor
) -> list[tuple[int, Tensor, Tensor, Tensor]]:
    """Split the pairs with a picture of the block by caption length.

    (Q, k) places in the block or -1, (Q, ) -> length, rows, columns, places.
    """
    rows, cols = (table >= 0).nonzero(as_tuple=True)
    places = table[rows, cols]
    found = lengths[rows]
    return [
        (length, rows[same], cols[same], places[same])
        for length in found.unique().tolist()
        for same in [(found == length).nonzero()[:, 0]]
    ]


def _pick(values: Tensor, index: Tensor) -> Tensor:
    return values.index_select(0, index)


def _fill(index: Tensor, size: int) -> Tensor:
    """Repeat the last index up to a size."""
    if len(index) >= size:
        return index
    return torch.cat([index, index[-1:].expand(size - len(index))])
