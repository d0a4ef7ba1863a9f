"""Losses that every pair of a batch has for itself."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mmtpr.registry import MODELS
from mmtpr.utils.warn import warn

from .base import RetrievalFeatures, RetrievalLoss
from .triplet_alignment import (
    check_reduction,
    check_triplet,
    reduce_pairs,
    tal_loss,
    trl_loss,
)


class PairwiseLoss(RetrievalLoss):
    """A loss that is the sum, or mean, of losses of the pairs of a batch.

    What a pair costs beside the others of its batch tells how likely it is a
    true one: :meth:`pair_losses` gives it to who wants to know.

    Args:
        weight (float): Factor of the loss. Defaults to 1.0.
        reduction (str): ``'sum'`` over the pairs that count, or their
            ``'mean'``. Defaults to ``'sum'``.
    """

    across_processes = True

    def __init__(self, weight: float = 1.0, reduction: str = 'sum') -> None:
        super().__init__(weight)
        self.reduction = check_reduction(reduction)
        if reduction == 'none':
            raise ValueError(
                f"{type(self).__name__} trains with reduction='sum' or "
                "'mean'; pair_losses() gives the losses of single pairs."
            )
        self._warned = False

    @abstractmethod
    def pair_losses(self, features: RetrievalFeatures) -> Tensor:
        """Compute the loss of every pair.

        Args:
            features (RetrievalFeatures): B pairs.

        Returns:
            Tensor: Of shape (B, ), without the weight, of pairs that count
            and of those that do not.
        """

    def loss(self, features: RetrievalFeatures) -> Tensor:
        """See :meth:`RetrievalLoss.loss`."""
        losses = self.pair_losses(features)  # (B,)
        return reduce_pairs(losses, features.label_hat, self.reduction)

    def prepare(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Say once that a batch has nothing to push away.

        Its loss is 0, which is what the formula says: the last batch of an
        epoch may be so small, and training must not end there.

        Args:
            inputs (Mapping): See :meth:`RetrievalLoss.prepare`.

        Returns:
            dict: Nothing.
        """
        low, high = inputs['pid_range']
        if low == high and not self._warned:
            self._warned = True
            warn(
                f'All {len(inputs["pid"])} pairs of a batch of this process '
                f'have the id {low}: unless other processes bring other ids, '
                f'there is no negative and {type(self).__name__} is 0 for '
                'such a batch. Use larger batches with drop_last=True, and '
                'check the pids of the dataset. Said once.'
            )
        return {}

    def extra_repr(self) -> str:
        """Show the weight and the reduction when printed."""
        return f'{super().extra_repr()}, reduction={self.reduction!r}'


@MODELS.register_module()
class TALLoss(PairwiseLoss):
    """Triplet alignment loss of RDE, see :func:`tal_loss`.

    Of a batch of a single identity the loss is 0, and a line says so once.

    Args:
        weight (float): Factor of the loss. Defaults to 1.0.
        temperature (float): Divisor of the cosines, of the loss itself:
            that of the retriever has no part in it. Defaults to 0.015.
        margin (float): Of cosines. Defaults to 0.1.
        reduction (str): ``'sum'``, as released, over the pairs whose
            ``label_hat`` is 1 (all without it), or their ``'mean'``. A sum
            grows with the batch, and so does the step. Defaults to
            ``'sum'``.
    """

    takes_augmented = True
    trains_scale = False

    def __init__(
        self,
        weight: float = 1.0,
        temperature: float = 0.015,
        margin: float = 0.1,
        reduction: str = 'sum',
    ) -> None:
        super().__init__(weight, reduction)
        check_triplet(temperature, margin)
        self.temperature = temperature
        self.margin = margin

    def pair_losses(self, features: RetrievalFeatures) -> Tensor:
        """See :meth:`PairwiseLoss.pair_losses`."""
        return tal_loss(**self._arguments(features))

    def _arguments(self, features: RetrievalFeatures) -> dict[str, Any]:
        return dict(
            image_feats=features.image_feats,
            text_feats=features.text_feats,
            pids=features.pids,
            temperature=self.temperature,
            margin=self.margin,
            reduction='none',
        )


@MODELS.register_module()
class TRLLoss(TALLoss):
    """Triplet ranking loss with the hardest negative, see :func:`trl_loss`.

    Args:
        weight (float): Factor of the loss. Defaults to 1.0.
        temperature (float): See :class:`TALLoss`. Defaults to 0.015.
        margin (float): Of cosines. Defaults to 0.1.
        reduction (str): See :class:`TALLoss`. Defaults to ``'sum'``.
    """

    def pair_losses(self, features: RetrievalFeatures) -> Tensor:
        """See :meth:`PairwiseLoss.pair_losses`."""
        return trl_loss(**self._arguments(features))
