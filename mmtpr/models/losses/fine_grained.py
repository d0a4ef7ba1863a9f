"""Losses of FAFA: one query vector against the tokens of its target.

Source: arXiv 2311.16515 v4 (NeurIPS 2025). Where the paper and the released
code differ, ``variant`` chooses; the default is the release, which is what
the published checkpoints were trained with.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmtpr.utils.precision import full_precision

from .functional import upcast

_EPS = 1e-8
#: Variant -> label of another pair of the same id.
SAME_ID_WEIGHTS = {'released': 1.0, 'paper': 0.5}


def _check_variant(variant: str) -> None:
    if variant not in SAME_ID_WEIGHTS:
        raise ValueError(
            f'variant must be one of {tuple(SAME_ID_WEIGHTS)}, got '
            f'{variant!r}.'
        )


def fda_similarity(query: Tensor, tokens: Tensor, topk: int = 6) -> Tensor:
    """Mean of the best cosines of a query over the tokens of each target.

    Args:
        query (Tensor): Normalised queries of shape (B, D).
        tokens (Tensor): Normalised target tokens of shape (N, T, D).
        topk (int): How many tokens count, at most T. Defaults to 6.

    Returns:
        Tensor: Similarities of shape (B, N), in [-1, 1], computed in float32
        at least, under autocast too.

    Raises:
        ValueError: If ``topk`` is not in 1..T.
    """
    num_tokens = tokens.size(1)
    check_topk_tokens(topk, num_tokens)
    with full_precision(query.device):
        query, tokens = upcast(query), upcast(tokens)
        cosines = torch.einsum('bd,ntd->bnt', query, tokens)  # (B, N, T)
        # A mean needs no order: topk of all T would sort for nothing.
        if topk == num_tokens:
            return cosines.mean(dim=2)  # (B, N)
        return cosines.topk(topk, dim=2, sorted=False).values.mean(dim=2)


def check_topk_tokens(topk: int, num_tokens: int) -> None:
    """Check that so many tokens can be chosen.

    Args:
        topk (int): Tokens that count.
        num_tokens (int): Tokens T of a target.

    Raises:
        ValueError: If ``topk`` is not in 1..T.
    """
    if not 1 <= topk <= num_tokens:
        raise ValueError(
            f'topk={topk} does not fit targets of {num_tokens} tokens: '
            f'choose 1..{num_tokens}.'
        )


def _soft_labels(ids: Tensor, same_id_weight: float) -> Tensor:
    """1 on the diagonal, ``same_id_weight`` at equal ids, rows sum to 1."""
    same = ids[:, None] == ids[None, :]  # (B, B)
    own = torch.eye(len(ids), dtype=torch.bool, device=ids.device)  # (B, B)
    labels = (same.float() * same_id_weight).masked_fill(own, 1.0)
    return labels / labels.sum(dim=1, keepdim=True)


def fda_loss(
    similarity: Tensor,
    ids: Tensor,
    temperature: Tensor | float,
    same_id_weight: float | None = None,
    variant: str = 'released',
) -> Tensor:
    """Fine-grained dynamic alignment.

    The KL divergence of softmax(similarity / temperature) from labels that are
    1 for the pair and ``same_id_weight`` for another pair of the same group.
    The paper sums the two directions and sets the weight to 0.5; the release
    averages them and counts equal ids as 1.

    Args:
        similarity (Tensor): Of shape (B, B), queries by targets.
        ids (Tensor): Group ids of shape (B, ).
        temperature (Tensor | float): Divides the similarity.
        same_id_weight (float, optional): Label of an equal id, before the row
            is normalised. Defaults to None: that of the variant, 1.0 if
            released, 0.5 in the paper.
        variant (str): ``'released'`` averages the directions, ``'paper'``
            sums them. Defaults to ``'released'``.

    Returns:
        Tensor: Scalar.

    Raises:
        ValueError: If the similarity is empty or not square, another number
            of ids, a temperature that is not positive, or an unknown variant.
    """
    _check_variant(variant)
    if same_id_weight is None:
        same_id_weight = SAME_ID_WEIGHTS[variant]
    if not similarity.numel():
        raise ValueError('fda_loss got a batch without pairs.')
    # A learned one is bounded elsewhere; on an accelerator it would wait.
    if not isinstance(temperature, Tensor) and not temperature > 0:
        raise ValueError(f'temperature must be > 0, got {temperature}.')
    if similarity.size(0) != similarity.size(1):
        raise ValueError(
            f'fda_loss needs as many queries as targets, got a similarity of '
            f'shape {tuple(similarity.shape)}.'
        )
    if ids.shape != similarity.shape[:1]:
        raise ValueError(
            f'fda_loss needs one group id for each of the {len(similarity)} '
            f'pairs, got ids of shape {tuple(ids.shape)}.'
        )
    with full_precision(similarity.device):
        logits = upcast(similarity) / temperature  # (B, B)
        # Rows of one group have one sum, so the labels are symmetric and serve
        # both directions. eps keeps the logarithm of 0 finite.
        log_labels = (_soft_labels(ids, same_id_weight) + _EPS).log()
        total = _divergence(logits, log_labels)
        total = total + _divergence(logits.t(), log_labels)
    return total / 2 if variant == 'released' else total


def _divergence(logits: Tensor, log_labels: Tensor) -> Tensor:
    """Mean over rows of KL(softmax(logits) || labels), (B, B) -> ()."""
    log_p = logits.log_softmax(dim=1)  # (B, B)
    return (log_p.exp() * (log_p - log_labels)).sum(dim=1).mean()


def feature_diversity_loss(
    tokens: Tensor,
    margin: float = 0.5,
    variant: str = 'released',
    max_tokens: int = 1024,
) -> Tensor:
    """Feature diversity: tokens are pushed apart beyond a margin.

    The paper averages max(cos - margin, 0) over the pairs of different tokens
    of one image. The release pools the tokens of the whole batch, draws at
    most ``max_tokens`` of them, and averages over all n * n entries, where
    the diagonal contributes 0.

    Args:
        tokens (Tensor): Tokens of shape (N, T, D), normalised inside.
        margin (float): Cosine that is not punished. Defaults to 0.5.
        variant (str): ``'paper'`` or ``'released'``. Defaults to
            ``'released'``.
        max_tokens (int): Pool size of the release. Defaults to 1024.

    Returns:
        Tensor: Scalar.

    Raises:
        ValueError: If there are no tokens, or the variant is unknown.
    """
    _check_variant(variant)
    if not tokens.numel():
        raise ValueError('feature_diversity_loss got a batch without tokens.')
    with full_precision(tokens.device):
        tokens = F.normalize(upcast(tokens), dim=-1)
        if variant == 'released':
            # One image of n tokens: the rest is the same for both variants.
            tokens = _token_pool(tokens, max_tokens)[None]  # (1, n, D)
        number = tokens.size(1)
        cosines = tokens @ tokens.transpose(1, 2)  # (N, T, T)
        excess = F.relu(cosines - margin)
        same = torch.eye(number, dtype=torch.bool, device=tokens.device)
        excess = excess.masked_fill(same, 0.0)
        if variant == 'released':
            return excess.mean()
        pairs = tokens.size(0) * max(number * (number - 1), 1)
        return excess.sum() / pairs


def _token_pool(tokens: Tensor, max_tokens: int) -> Tensor:
    """At most ``max_tokens`` random tokens of the batch, (n, D)."""
    pool = tokens.flatten(0, 1)  # (N * T, D)
    if len(pool) <= max_tokens:
        return pool
    chosen = torch.randperm(len(pool), device=pool.device)[:max_tokens]
    return pool[chosen]


class MaskedFeatureReasoning(nn.Module):
    """Predict the hidden part of a feature from its counterpart.

    An MLP gets [masked self ; other] and predicts self; the squared error on
    the masked dimensions over their number, averaged over both directions.
    Targets are not detached, as in the release.

    Args:
        dim (int): Feature dimension D.
        hidden_dim (int): Width of the MLP. Defaults to 512.
        mask_ratio (float): Share of dimensions masked. Defaults to 0.3.

    Raises:
        ValueError: If ``mask_ratio`` is not between 0 and 1.
    """

    def __init__(
        self, dim: int, hidden_dim: int = 512, mask_ratio: float = 0.3
    ) -> None:
        super().__init__()
        if not 0 < mask_ratio < 1:
            raise ValueError(
                f'mask_ratio must be between 0 and 1, got {mask_ratio}.'
            )
        self.mask_ratio = mask_ratio
        self.predictor = nn.Sequential(
            nn.Linear(2 * dim, hidden_dim),
            nn.ReLU(),
            nn.Linear(hidden_dim, dim),
        )

    def forward(
        self,
        query: Tensor,
        target: Tensor,
        masks: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Compute the loss.

        Args:
            query (Tensor): Query features of shape (B, D).
            target (Tensor): Target features of shape (B, D).
            masks (tuple[Tensor, Tensor], optional): Masks of the query and of
                the target, of shape (B, D), 1 or True = masked. Defaults to
                None: drawn.

        Returns:
            Tensor: Scalar.

        Raises:
            ValueError: If the batch is empty.
        """
        if not len(query):
            raise ValueError('Masked reasoning got an empty batch.')
        if masks is None:
            masks = (self._draw(query), self._draw(target))
        return 0.5 * (
            self._reconstruct(query, target, masks[0])
            + self._reconstruct(target, query, masks[1])
        )

    def _draw(self, x: Tensor) -> Tensor:
        return (torch.rand_like(x, dtype=torch.float32) < self.mask_ratio).to(
            x.dtype
        )

    def _reconstruct(self, x: Tensor, other: Tensor, mask: Tensor) -> Tensor:
        mask = mask.to(x.dtype)  # bool has no 1 - mask
        seen = torch.cat([x * (1 - mask), other], dim=1)  # (B, 2 D)
        guess = self.predictor(seen)  # (B, D)
        error = (upcast(guess) - upcast(x)).square() * mask  # (B, D)
        return error.sum() / mask.sum().clamp(min=1)
