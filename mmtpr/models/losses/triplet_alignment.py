"""Triplet losses of RDE as pure functions, computed in float32.

S are the cosines of B captions with B images. What is pushed away from a
caption, or an image, is all of another identity: by a soft maximum (TAL) or by
the hardest alone (TRL). Each pair has a loss of its own, so that what a pair
costs can be asked for, and pairs that are held for wrong can be left out.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmtpr.utils.precision import full_precision

from .functional import check_rows, same_ids, upcast

_REDUCTIONS = ('sum', 'mean', 'none')


def tal_loss(
    image_feats: Tensor,
    text_feats: Tensor,
    pids: Tensor,
    temperature: float = 0.015,
    margin: float = 0.1,
    label_hat: Tensor | None = None,
    reduction: str = 'sum',
) -> Tensor:
    """Triplet alignment loss (RDE, CVPR 2024, arXiv 2308.09911).

    The loss of row i of S is ``max(0, margin - sum_j a_ij S_ij + temperature
    * log(sum_j exp(S_ij / temperature)))``: the first sum over columns of the
    same identity with a the softmax of S / temperature over them, without
    gradient; the second over those of another. Pair i has the loss of its
    caption, row i, and that of its image, column i, added.

    Args:
        image_feats (Tensor): Raw image features of shape (B, D).
        text_feats (Tensor): Raw text features of shape (B, D).
        pids (Tensor): Identities of shape (B, ).
        temperature (float): Divisor of the cosines. Defaults to 0.015.
        margin (float): Of cosines. Defaults to 0.1.
        label_hat (Tensor, optional): 1 where a pair counts, 0 where its loss
            does not; the others go on to be told from it. Shape (B, ).
            Defaults to None: all count.
        reduction (str): ``'sum'`` over the pairs that count, as released,
            their ``'mean'``, or ``'none'``. Defaults to ``'sum'``.

    Returns:
        Tensor: Scalar; with ``'none'`` of shape (B, ), 0 where a pair does
        not count. A batch of one identity has nothing to push away and
        so the loss 0.

    Raises:
        ValueError: If the batch is empty, ids or ``label_hat`` do not fit,
            or an argument is out of range.
    """
    losses = _pair_losses(
        image_feats, text_feats, pids, temperature, margin, hardest=False
    )
    return reduce_pairs(losses, label_hat, reduction)


def trl_loss(
    image_feats: Tensor,
    text_feats: Tensor,
    pids: Tensor,
    temperature: float = 0.015,
    margin: float = 0.1,
    label_hat: Tensor | None = None,
    reduction: str = 'sum',
) -> Tensor:
    """Triplet ranking loss with the hardest negative, as in RDE.

    :func:`tal_loss` with ``max_j S_ij`` over the columns of another identity
    in place of their soft maximum.

    Args:
        image_feats (Tensor): Raw image features of shape (B, D).
        text_feats (Tensor): Raw text features of shape (B, D).
        pids (Tensor): Identities of shape (B, ).
        temperature (float): Divisor of the cosines in the weights of the
            positives. Defaults to 0.015.
        margin (float): Of cosines. Defaults to 0.1.
        label_hat (Tensor, optional): See :func:`tal_loss`.
        reduction (str): See :func:`tal_loss`.

    Returns:
        Tensor: See :func:`tal_loss`.

    Raises:
        ValueError: See :func:`tal_loss`.
    """
    losses = _pair_losses(
        image_feats, text_feats, pids, temperature, margin, hardest=True
    )
    return reduce_pairs(losses, label_hat, reduction)


def reduce_pairs(
    losses: Tensor, label_hat: Tensor | None, reduction: str
) -> Tensor:
    """Reduce the losses of pairs to those that count.

    Args:
        losses (Tensor): Of shape (B, ).
        label_hat (Tensor, optional): 1 where a pair counts, else 0, (B, ).
            Defaults to None: all count.
        reduction (str): ``'sum'``, ``'mean'`` (0 if none counts) or
            ``'none'``.

    Returns:
        Tensor: Scalar, or of shape (B, ) with ``'none'``.

    Raises:
        ValueError: If shapes do not fit or the reduction is unknown.
    """
    check_reduction(reduction)
    if label_hat is not None:
        if label_hat.shape != losses.shape:
            raise ValueError(
                f'Expected one label_hat for each of the {len(losses)} pairs, '
                f'got shape {tuple(label_hat.shape)}.'
            )
        label_hat = label_hat.to(losses.dtype)
        losses = losses * label_hat
    if reduction == 'none':
        return losses
    if reduction == 'sum':
        return losses.sum()
    if label_hat is None:
        return losses.mean()
    return losses.sum() / label_hat.sum().clamp(min=1)


def check_reduction(reduction: str) -> str:
    """Check how losses of pairs become one.

    Args:
        reduction (str): ``'sum'``, ``'mean'`` or ``'none'``.

    Returns:
        str: The same.

    Raises:
        ValueError: If it is something else.
    """
    if reduction not in _REDUCTIONS:
        raise ValueError(
            f"reduction must be 'sum', 'mean' or 'none', got {reduction!r}."
        )
    return reduction


def check_triplet(temperature: float, margin: float) -> None:
    """Check the numbers of a triplet loss.

    Args:
        temperature (float): Divisor of the cosines.
        margin (float): Of cosines.

    Raises:
        ValueError: If the temperature is not positive or the margin negative.
    """
    if temperature <= 0:
        raise ValueError(f'temperature must be > 0, got {temperature}.')
    if margin < 0:
        raise ValueError(f'margin must be >= 0, got {margin}.')


def _pair_losses(
    image_feats: Tensor,
    text_feats: Tensor,
    pids: Tensor,
    temperature: float,
    margin: float,
    hardest: bool,
) -> Tensor:
    """Losses of the B pairs, (B, D), (B, D), (B,) -> (B,)."""
    check_triplet(temperature, margin)
    check_rows(image_feats, text_feats, pids, None)
    with full_precision(image_feats.device):
        image = F.normalize(upcast(image_feats), dim=1)
        text = F.normalize(upcast(text_feats), dim=1)
        scores = text @ image.t()  # (B, B)
        same = same_ids(pids, pids)  # (B, B), symmetric
        return sum(
            _row_losses(rows, same, temperature, margin, hardest)
            for rows in (scores, scores.t())
        )  # type: ignore[return-value]


def _row_losses(
    scores: Tensor,
    same: Tensor,
    temperature: float,
    margin: float,
    hardest: bool,
) -> Tensor:
    """Losses of the rows of S, (B, B) -> (B,)."""
    logits = scores / temperature  # (B, B)
    share = logits.detach().masked_fill(~same, -torch.inf).softmax(dim=1)
    positive = (share * scores).sum(dim=1)  # (B,)
    # The logarithm of an empty sum has no gradient: such a row keeps its own
    # scores, which are finite, and is set to 0 at the end.
    contrasted = ~same.all(dim=1, keepdim=True)  # (B, 1)
    hidden = same & contrasted  # (B, B)
    if hardest:
        negative = scores.masked_fill(hidden, -torch.inf).amax(dim=1)
    else:
        others = logits.masked_fill(hidden, -torch.inf)  # (B, B)
        negative = temperature * others.logsumexp(dim=1)  # (B,)
    losses = (margin - positive + negative).clamp(min=0)  # (B,)
    return losses * contrasted[:, 0]
