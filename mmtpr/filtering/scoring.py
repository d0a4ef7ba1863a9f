"""Scoring a dataset: shard by shard, in one process or many."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.dist import (
    barrier,
    broadcast_object_list,
    get_rank,
    get_world_size,
)
from mmengine.logging import print_log
from torch import Tensor

from mmtpr.structures.pairs import Pairs
from mmtpr.utils.progress import progress

from .bank import own_indices
from .ranking import relevance_rank, relevance_score
from .scorer import RelevanceScorer, unreadable
from .shards import ShardStore

# Pairs ranked at once; bounds the copies of tokens of shared images.
_RANK_STEP = 1024
# So many images, none of them readable, are a wrong path, not broken files.
_WRONG_PATH = 32


def score_pairs(
    scorer: RelevanceScorer,
    pairs: Pairs,
    bank: Sequence[str],
    store: ShardStore,
) -> tuple[np.ndarray, np.ndarray] | None:
    """Score all pairs, continuing where an earlier run stopped.

    Shards are dealt to the processes of the default group. Every shard is
    scored in the same batches whoever does it, so that neither the number of
    processes nor an interruption changes the result.

    Args:
        scorer (RelevanceScorer): The model.
        pairs (Pairs): What to score.
        bank (Sequence[str]): Captions to rank against; a pair's own caption
            is left out.
        store (ShardStore): Where finished shards go.

    Returns:
        tuple[np.ndarray, np.ndarray] | None: Ranks and relevances, in the
        first process; None in the others.
    """
    if get_rank() == 0:
        store.create()
    barrier()
    # One process looks, lest others see shards that were finished meanwhile.
    box: list[Any] = [store.pending() if get_rank() == 0 else None]
    broadcast_object_list(box)
    pending = box[0]
    done = len(store) - len(pending)
    if done:
        print_log(
            f'{done} of {len(store)} shards were finished earlier.',
            logger='current',
        )
    mine = pending[get_rank() :: get_world_size()]
    if mine:
        bank_feats = _embed_bank(scorer, bank)
        _score_shards(scorer, pairs, bank, bank_feats, store, mine)
    barrier()
    return store.merge() if get_rank() == 0 else None


def score_shard(
    scorer: RelevanceScorer,
    pairs: Pairs,
    bank_feats: Tensor,
    own_index: Tensor,
    bounds: tuple[int, int],
    on_batch: Any = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Score a stretch of pairs.

    Images and captions that occur several times are embedded once.

    Args:
        scorer (RelevanceScorer): The model.
        pairs (Pairs): All pairs.
        bank_feats (Tensor): Embedded bank, (M, D).
        own_index (Tensor): Place of each of the stretch's own captions in the
            bank, -1 where it is not there.
        bounds (tuple[int, int]): First and last-plus-one pair.
        on_batch (Callable, optional): Called with the number of pairs that a
            batch of images stands for.

    Returns:
        tuple[np.ndarray, np.ndarray]: Ranks, and relevances with -inf where
        the image cannot be read; such a pair has the rank M + 1.

    Raises:
        ValueError: If not one of many images can be read.
    """
    numbers = range(*bounds)
    first, image_of = unique_places([pairs.paths[i] for i in numbers])
    samples = [pairs.image_entry(numbers[i]) for i in first]
    counts = np.bincount(image_of, minlength=len(first))
    tokens, broken = scorer.embed_images(samples, _Counter(counts, on_batch))
    if len(broken) == len(samples):
        if len(samples) >= _WRONG_PATH:
            raise unreadable(samples, broken)
        tokens = bank_feats.new_zeros(len(samples), 1, bank_feats.size(1))
    texts = [pairs.captions[i] for i in numbers]
    first, text_of = unique_places(texts)
    captions = scorer.embed_captions([texts[i] for i in first])
    ranks, scores = _rank(
        tokens, captions, bank_feats, own_index, image_of, text_of
    )
    if broken:
        lost = np.isin(image_of, list(broken))
        ranks[lost], scores[lost] = len(bank_feats) + 1, -np.inf
        place, reason = next(iter(broken.items()))
        print_log(
            f'{len(broken)} images cannot be read, {int(lost.sum())} pairs '
            f'rank last, e.g. "{samples[place].get("img_path")}": {reason}',
            logger='current',
            level=logging.WARNING,
        )
    return ranks, scores


def _embed_bank(scorer: RelevanceScorer, bank: Sequence[str]) -> Tensor:
    """Embed a bank in the batches that the scorer makes, (M, D)."""
    step = getattr(scorer, 'batch_size', len(bank))
    parts = []
    with progress(len(bank), 'Embedding the captions of the bank') as done:
        for start in range(0, len(bank), step):
            captions = bank[start : start + step]
            parts.append(scorer.embed_captions(captions))
            done(len(captions))
    return torch.cat(parts)


def _score_shards(
    scorer: RelevanceScorer,
    pairs: Pairs,
    bank: Sequence[str],
    bank_feats: Tensor,
    store: ShardStore,
    shards: Sequence[int],
) -> None:
    own = own_indices(pairs.captions, bank)
    total = sum(stop - start for start, stop in map(store.bounds, shards))
    with progress(total, 'Scoring pairs') as done:
        for index in shards:
            start, stop = store.bounds(index)
            result = score_shard(
                scorer,
                pairs,
                bank_feats,
                own[start:stop],
                (start, stop),
                done,
            )
            store.save(index, *result)


def _rank(
    tokens: Tensor,
    captions: Tensor,
    bank: Tensor,
    own_index: Tensor,
    image_of: np.ndarray,
    text_of: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Rank pairs given by an image and a caption each."""
    images = torch.from_numpy(image_of).to(tokens.device)
    texts = torch.from_numpy(text_of).to(tokens.device)
    ranks, scores = [], []
    for part in torch.arange(len(images)).split(_RANK_STEP):
        here = part.to(tokens.device)
        image, caption = tokens[images[here]], captions[texts[here]]
        index = own_index[part]
        ranks.append(relevance_rank(image, caption, bank, own_index=index))
        scores.append(relevance_score(image, caption))
    return torch.cat(ranks).cpu().numpy(), torch.cat(scores).cpu().numpy()


def unique_places(values: Sequence[str]) -> tuple[list[int], np.ndarray]:
    """Find the different values of a list.

    Args:
        values (Sequence[str]): N values.

    Returns:
        tuple[list[int], np.ndarray]: Where each of them stands first, and
        which of them each value is, (N, ).
    """
    number: dict[str, int] = {}
    first, inverse = [], []
    for place, value in enumerate(values):
        if value not in number:
            number[value] = len(number)
            first.append(place)
        inverse.append(number[value])
    return first, np.array(inverse, dtype=np.int64)


class _Counter:
    """Turn images done into pairs done."""

    def __init__(self, counts: np.ndarray, report: Any) -> None:
        self.ends = np.concatenate([[0], np.cumsum(counts)])
        self.report = report
        self.images = 0

    def __call__(self, images: int) -> None:
        before, self.images = self.images, self.images + images
        if self.report is not None:
            pairs = self.ends[self.images] - self.ends[before]
            self.report(int(pairs))
