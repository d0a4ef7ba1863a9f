"""Losses of dual encoders as pure functions, computed in float32.

Rows of ``image_feats`` and ``text_feats`` are raw features; cosines are taken
inside. Half precision is cast up and autocast is off, so that mixed precision
changes the encoder and not the loss.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mmtpr.utils.precision import full_precision

_EPS = 1e-8


def upcast(x: Tensor) -> Tensor:
    """Cast half precision to float32 and leave the rest as it is.

    Args:
        x (Tensor): Any floating point tensor.

    Returns:
        Tensor: float32, or float64 as given.
    """
    return x if x.dtype == torch.float64 else x.float()


def same_ids(rows: Tensor, columns: Tensor) -> Tensor:
    """Tell where ids are equal.

    Args:
        rows (Tensor): Ids of shape (M, ).
        columns (Tensor): Ids of shape (N, ).

    Returns:
        Tensor: Of shape (M, N), bool.
    """
    return rows.view(-1, 1) == columns.view(1, -1)


def _targets(rows: Tensor, columns: Tensor) -> Tensor:
    """1 where ids are equal, of shape (M, N), float32."""
    return same_ids(rows, columns).float()


def _kl(logits: Tensor, target: Tensor) -> Tensor:
    """Mean over rows of sum(p (log p - log(q + eps))), p = softmax(logits)."""
    log_p = logits.log_softmax(dim=1)  # (M, N)
    # Most targets are 0; eps keeps their logarithm finite.
    gap = log_p - (target + _EPS).log()  # (M, N)
    return (log_p.exp() * gap).sum(dim=1).mean()


def _row_normalised(target: Tensor) -> Tensor:
    """Divide rows by their sum; a row of zeros stays, (M, N) -> (M, N)."""
    return target / target.sum(dim=1, keepdim=True).clamp(min=1)


def check_rows(
    image_feats: Tensor,
    text_feats: Tensor,
    ids: Tensor | None,
    text_ids: Tensor | None,
) -> tuple[Any, Any]:
    """Check that features and ids fit together.

    Args:
        image_feats (Tensor): Of shape (M, D).
        text_feats (Tensor): Of shape (N, D).
        ids (Tensor, optional): Of the images, (M, ).
        text_ids (Tensor, optional): Of the texts, (N, ). None: the rows are
            pairs, with ``ids``.

    Returns:
        tuple[Tensor | None, Tensor | None]: Ids of images and texts.

    Raises:
        ValueError: If there are no rows, or they do not fit.
    """
    if not len(image_feats) or not len(text_feats):
        raise ValueError(
            f'A batch of {len(image_feats)} images and {len(text_feats)} '
            'texts has no loss.'
        )
    if text_ids is None and len(image_feats) != len(text_feats):
        raise ValueError(
            f'{len(image_feats)} images and {len(text_feats)} texts are not '
            'pairs: give the ids of the texts separately.'
        )
    text_ids = ids if text_ids is None else text_ids
    for given, feats, kind in (
        (ids, image_feats, 'images'),
        (text_ids, text_feats, 'texts'),
    ):
        if given is not None and given.shape != feats.shape[:1]:
            raise ValueError(
                f'Expected one id for each of the {len(feats)} {kind}, got '
                f'ids of shape {tuple(given.shape)}.'
            )
    return ids, text_ids


def sdm_loss(
    image_feats: Tensor,
    text_feats: Tensor,
    pids: Tensor,
    logit_scale: Tensor | float,
    text_pids: Tensor | None = None,
) -> Tensor:
    """Similarity distribution matching (IRRA, CVPR 2023).

    The KL divergence of the softmax over scaled cosines from the normalised
    distribution of equal identities, image to text and back, summed.

    Args:
        image_feats (Tensor): Raw image features of shape (M, D).
        text_feats (Tensor): Raw text features of shape (N, D).
        pids (Tensor): Identities of the images, of shape (M, ).
        logit_scale (Tensor | float): 1 / temperature.
        text_pids (Tensor, optional): Identities of the texts, of shape
            (N, ). Defaults to None, which means ``pids``.

    Returns:
        Tensor: Scalar.

    Raises:
        ValueError: If M differs from N and ``text_pids`` is None, ids do not
            fit, or the batch is empty.
    """
    pids, text_pids = check_rows(image_feats, text_feats, pids, text_pids)
    with full_precision(image_feats.device):
        image = F.normalize(upcast(image_feats), dim=1)
        text = F.normalize(upcast(text_feats), dim=1)
        logits = logit_scale * image @ text.t()  # (M, N)
        same = _targets(pids, text_pids)  # (M, N)
        return _kl(logits, _row_normalised(same)) + _kl(
            logits.t(), _row_normalised(same.t())
        )


def itc_loss(
    image_feats: Tensor,
    text_feats: Tensor,
    logit_scale: Tensor | float,
    ids: Tensor | None = None,
    text_ids: Tensor | None = None,
    reduction: str = 'mean',
) -> Tensor:
    """Symmetric InfoNCE.

    Args:
        image_feats (Tensor): Raw image features of shape (M, D).
        text_feats (Tensor): Raw text features of shape (N, D).
        logit_scale (Tensor | float): 1 / temperature.
        ids (Tensor, optional): Ids of shape (M, ); all pairs with equal ids
            are positives, targets are normalised by row. Defaults to None:
            only row i and column i belong together.
        text_ids (Tensor, optional): Ids of the texts, of shape (N, ).
            Defaults to None, which means ``ids``.
        reduction (str): ``'mean'``, or ``'none'`` for each of M = N pairs.
            Defaults to ``'mean'``.

    Returns:
        Tensor: Scalar, the mean of both directions; with ``'none'`` that of
        each pair, (M, ).

    Raises:
        ValueError: If M differs from N and there are no ids to match, or with
            ``'none'``; if ids do not fit, or the batch is empty.
    """
    ids, text_ids = check_rows(image_feats, text_feats, ids, text_ids)
    if reduction == 'none' and len(image_feats) != len(text_feats):
        raise ValueError(
            f'Single pairs need as many images as texts, got '
            f'{len(image_feats)} and {len(text_feats)}.'
        )
    with full_precision(image_feats.device):
        image = F.normalize(upcast(image_feats), dim=1)
        text = F.normalize(upcast(text_feats), dim=1)
        logits = logit_scale * image @ text.t()  # (M, N)
        if ids is None:
            # Class indices save the (M, N) table of targets.
            target = target_t = torch.arange(len(logits), device=logits.device)
        else:
            same = _targets(ids, text_ids)  # (M, N)
            target, target_t = map(_row_normalised, (same, same.t()))
        forward = F.cross_entropy(logits, target, reduction=reduction)
        back = F.cross_entropy(logits.t(), target_t, reduction=reduction)
        return (forward + back) / 2


def cmpm_loss(
    image_feats: Tensor,
    text_feats: Tensor,
    pids: Tensor,
    text_pids: Tensor | None = None,
) -> Tensor:
    """Cross-modal projection matching (CMPM/C, ECCV 2018), as IRRA runs it.

    Each modality, at its own length, is projected onto the normalised other.
    The rows of the target have unit L2 norm, as in the released code; the
    paper divides by their sum.

    Args:
        image_feats (Tensor): Raw image features of shape (M, D).
        text_feats (Tensor): Raw text features of shape (N, D).
        pids (Tensor): Identities of the images, of shape (M, ).
        text_pids (Tensor, optional): Identities of the texts, of shape
            (N, ). Defaults to None, which means ``pids``.

    Returns:
        Tensor: Scalar, the sum of both directions.

    Raises:
        ValueError: If M differs from N and ``text_pids`` is None, ids do not
            fit, or the batch is empty.
    """
    pids, text_pids = check_rows(image_feats, text_feats, pids, text_pids)
    with full_precision(image_feats.device):
        image, text = upcast(image_feats), upcast(text_feats)
        same = _targets(pids, text_pids)  # (M, N)
        loss = image.new_zeros(())
        for one, other, target in (
            (image, text, same),
            (text, image, same.t()),
        ):
            logits = one @ F.normalize(other, dim=1).t()  # (M, N), (N, M)
            loss = loss + _kl(logits, F.normalize(target, dim=1))
        return loss


def id_loss(image_logits: Tensor, text_logits: Tensor, pids: Tensor) -> Tensor:
    """Identity classification of both modalities.

    Args:
        image_logits (Tensor): Of shape (M, C).
        text_logits (Tensor): Of shape (M, C).
        pids (Tensor): Identities 0..C-1 of shape (M, ). On a CPU the range
            is checked; elsewhere that would stall the device, and cut a
            compiled graph.

    Returns:
        Tensor: Scalar, the mean of the two cross-entropies.

    Raises:
        ValueError: If an identity is outside 0..C-1.
    """
    looks = pids.device.type == 'cpu' and not torch.compiler.is_compiling()
    if looks and len(pids):
        low, high = pids.aminmax()
        check_pid_range(int(low), int(high), image_logits.shape[1])
    with full_precision(image_logits.device):
        image = F.cross_entropy(upcast(image_logits), pids)
        return (image + F.cross_entropy(upcast(text_logits), pids)) / 2


def draw_one(weights: Tensor) -> Tensor:
    """Draw a column for each row.

    The numbers are those of ``torch.multinomial(weights, 1)``, which asks the
    device first whether the weights are fit to draw from.

    Args:
        weights (Tensor): Of shape (R, C), at least one of a row above 0.

    Returns:
        Tensor: Of shape (R, ), long.
    """
    waits = torch.empty_like(weights).exponential_(1)  # (R, C)
    # The first of independent waits comes as often as its rate says.
    return (weights / waits).argmax(dim=1)


def hidden_rows(labels: Tensor, ignore: int = -100) -> Tensor:
    """Find the words that are hidden.

    Args:
        labels (Tensor): True ids where hidden, else ``ignore``, (B, L).
        ignore (int): Defaults to -100.

    Returns:
        Tensor: Their H rows among the B * L words, long. On an accelerator
        this waits for the device.
    """
    return (labels.flatten() != ignore).nonzero()[:, 0]


def hidden_word_entropy(
    logits: Tensor, labels: Tensor, ignore: int = -100
) -> Tensor:
    """Mean cross-entropy of hidden words.

    Args:
        logits (Tensor): Of shape (H, vocab_size).
        labels (Tensor): True ids, ``ignore`` of words that do not count, of
            shape (H, ).
        ignore (int): Defaults to -100.

    Returns:
        Tensor: Scalar, 0 if no word counts.
    """
    with full_precision(logits.device):
        total = F.cross_entropy(
            upcast(logits), labels, ignore_index=ignore, reduction='sum'
        )
        return total / (labels != ignore).sum().clamp(min=1)


def check_pid_range(low: int, high: int, num_classes: int) -> None:
    """Check that identities index the classes of an ID loss.

    Args:
        low (int): The smallest identity.
        high (int): The largest identity.
        num_classes (int): Number of classes C.

    Raises:
        ValueError: If one is outside 0..C-1.
    """
    if low < 0 or high >= num_classes:
        raise ValueError(
            f'The ID loss has num_classes={num_classes}, so pids must be '
            f'contiguous, 0 to {num_classes - 1}; this batch has pids from '
            f'{low} to {high}. Set relabel_pids=True in the training data '
            "set and num_classes to its metainfo['num_pids']."
        )
