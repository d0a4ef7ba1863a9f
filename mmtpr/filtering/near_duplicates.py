"""Images that are nearly the same, found by their embeddings."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmtpr.evaluation.similarity import similarity_blocks
from mmtpr.utils.progress import progress

from .scorer import RelevanceScorer


def image_vectors(
    scorer: RelevanceScorer, samples: Sequence[dict], block_size: int = 4096
) -> tuple[Tensor, list[int]]:
    """Embed images as one vector each, in blocks.

    Args:
        scorer (RelevanceScorer): The model; unreadable images must not stop
            it.
        samples (Sequence[dict]): M entries with ``img_path``.
        block_size (int): Images whose tokens are in memory at once. Defaults
            to 4096.

    Returns:
        tuple[Tensor, list[int]]: Means over the tokens of the readable
        images, (M', D), and which those are.
    """
    parts, readable = [], []
    with progress(len(samples), 'Embedding images') as done:
        for start in range(0, len(samples), block_size):
            block = samples[start : start + block_size]
            tokens, broken = scorer.embed_images(block)  # (B, T, D)
            rows = [i for i in range(len(block)) if i not in broken]
            if rows:
                parts.append(tokens[rows].mean(1))  # (B', D)
            readable += [start + i for i in rows]
            done(len(block))
    return torch.cat(parts) if parts else torch.zeros(0, 1), readable


def near_duplicates(
    feats: Tensor, threshold: float, limit: int = 10_000
) -> tuple[Tensor, Tensor, int]:
    """Find couples of images whose cosine is above a threshold.

    Memory holds one block of similarities and ``limit`` couples, whatever
    the number of images.

    Args:
        feats (Tensor): Of M images, (M, D).
        threshold (float): Least cosine, above 0 and at most 1.
        limit (int): Couples that are given, the nearest. Defaults to 10,000.

    Returns:
        tuple[Tensor, Tensor, int]: Cosines, (K, ), largest first; the
        couples, (K, 2) long, the first image before the second; and how many
        couples there are in all.

    Raises:
        ValueError: If the threshold is out of range.

    Examples:
        >>> cosine, couple, number = near_duplicates(
        ...     torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]]), 0.9
        ... )
        >>> couple.tolist(), number
        ([[0, 2]], 1)
    """
    if not 0 < threshold <= 1:
        raise ValueError(
            f'The threshold must be above 0 and at most 1, got {threshold}.'
        )
    feats = F.normalize(feats.float(), dim=-1)
    number = torch.arange(len(feats), device=feats.device)
    best = feats.new_empty(0)
    couples = torch.empty(0, 2, dtype=torch.long, device=feats.device)
    total = 0
    # A copy has 1 but for rounding.
    least = threshold - 1e-6
    for start, rows in similarity_blocks(feats, feats):
        own = number[start : start + len(rows), None]  # (B, 1)
        near = (rows >= least) & (number > own)  # (B, M)
        row, column = near.nonzero(as_tuple=True)
        total += len(row)
        couples = torch.cat(
            [couples, torch.stack([row + start, column], dim=1)]
        )
        best = torch.cat([best, rows[row, column]])
        if len(best) > limit:
            best, order = best.sort(descending=True, stable=True)
            best, couples = best[:limit], couples[order[:limit]]
        del rows
    best, order = best.sort(descending=True, stable=True)
    return best.clamp(max=1.0), couples[order], total
