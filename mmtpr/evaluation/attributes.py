"""Numbers of attribute recognition: mA and the instance-based ones.

Conventions, in full:

- Labels are 1, 0, and anything negative where unknown; unknown entries count
  nowhere.
- *mA*: for each attribute the mean of the shares of positives and of negatives
  that are found, averaged over attributes. An attribute without positives or
  without negatives says nothing and is left out.
- *accuracy*, *precision*, *recall*: for each image the common attributes
  over the union of true and predicted ones, over the predicted ones, over the
  true ones; averaged over images. A share of nothing is 0. *F1* is that of
  the two averages.
"""

import torch
from torch import Tensor

from .ranking.matches import Array

#: Names of the numbers, in order.
NUMBERS = ('mA', 'accuracy', 'precision', 'recall', 'F1')


def decide_by_prompts(scores: Array) -> Tensor:
    """Let the better matching one of two prompts decide.

    Args:
        scores (Tensor | ndarray): Of a negative and a positive prompt for
            each attribute, of shape (N, A, 2), or (N, 2 A) in this order.

    Returns:
        Tensor: Whether the positive prompt matches better, of shape (N, A),
        bool. Equal scores are a no.

    Raises:
        ValueError: If the shape is another one or a score is NaN.
    """
    table = torch.as_tensor(scores)
    if table.dim() == 2 and table.shape[1] % 2 == 0:
        table = table.unflatten(1, (-1, 2))
    if table.dim() != 3 or table.shape[2] != 2:
        raise ValueError(
            'Expected a score of a negative and of a positive prompt for each '
            f'attribute, (N, A, 2), got {tuple(table.shape)}.'
        )
    if table.isnan().any():
        raise ValueError(
            'Some scores of prompts are NaN. Look at the checkpoint, or at '
            'the precision it runs in.'
        )
    return table[..., 1] > table[..., 0]


def attribute_metrics(predicted: Array, labels: Array) -> dict[str, float]:
    """Compute mA, accuracy, precision, recall and F1.

    Args:
        predicted (Tensor | ndarray): Of shape (N, A), bool or 0 and 1.
        labels (Tensor | ndarray): Of shape (N, A), 1, 0 or negative.

    Returns:
        dict[str, float]: In percent; ``mA`` is NaN if no attribute has both
        positives and negatives.

    Raises:
        ValueError: If shapes differ or are not (N, A), or predictions are
            probabilities.
    """
    predicted, labels = torch.as_tensor(predicted), torch.as_tensor(labels)
    if predicted.shape != labels.shape or labels.dim() != 2:
        raise ValueError(
            'Expected predictions and labels of one shape (N, A), got '
            f'{tuple(predicted.shape)} and {tuple(labels.shape)}.'
        )
    if not (predicted.bool() == predicted).all():
        raise ValueError(
            'Predictions must be bool or 0 and 1, got other numbers. '
            'Probabilities or scores need a threshold first.'
        )
    known = labels >= 0
    chosen, true = (predicted > 0) & known, labels > 0
    both = (chosen & true).sum(1).double()
    accuracy = _share(both, (chosen | true).sum(1)).mean()
    precision = _share(both, chosen.sum(1)).mean()
    recall = _share(both, true.sum(1)).mean()
    f1 = _share(2 * precision * recall, precision + recall)
    values = torch.stack(
        [
            balanced_accuracy(predicted, labels).nanmean(),
            *(100 * value for value in (accuracy, precision, recall, f1)),
        ]
    )
    return dict(zip(NUMBERS, values.tolist(), strict=True))


def balanced_accuracy(predicted: Array, labels: Array) -> Tensor:
    """Mean of the shares of positives and negatives that are found.

    Args:
        predicted (Tensor | ndarray): Of shape (N, A), bool or 0 and 1.
        labels (Tensor | ndarray): Of shape (N, A), 1, 0 or negative.

    Returns:
        Tensor: In percent, of shape (A, ), float64; NaN for an attribute
        without positives or without negatives.
    """
    chosen = torch.as_tensor(predicted) > 0
    labels = torch.as_tensor(labels)
    shares = [
        (found & real).sum(0).double() / real.sum(0)
        for found, real in ((chosen, labels > 0), (~chosen, labels == 0))
    ]
    return 50 * (shares[0] + shares[1])


def _share(part: Tensor, whole: Tensor) -> Tensor:
    return torch.where(whole > 0, part / whole.clamp(min=1e-12), 0.0)
