"""Base class of adapted linear layers."""

import math

import torch
from torch import Tensor, nn

from mmtpr.utils.numbers import is_number, is_whole

from .layer import AdapterLayer


def check_options(rank: int, alpha: float, dropout: float, who: str) -> None:
    """Check what all low-rank adapters take.

    Args:
        rank (int): Rank of the change.
        alpha (float): Factor of the low-rank part.
        dropout (float): Dropout of the low-rank path's input.
        who (str): Name of the adapter, for the message.

    Raises:
        ValueError: If one is out of range.
    """
    if not is_whole(rank) or rank < 1:
        raise ValueError(f'{who}: rank must be an int >= 1, got {rank!r}.')
    if not is_number(alpha):
        raise ValueError(
            f'{who}: alpha must be a finite number, got {alpha!r}.'
        )
    if not is_number(dropout) or not 0 <= dropout < 1:
        raise ValueError(f'{who}: dropout must be in [0, 1), got {dropout!r}.')


def check_switch(name: str, value: bool, who: str) -> bool:
    """Check an option that is on or off: any text would count as on.

    Args:
        name (str): The option.
        value (bool): Its value.
        who (str): Name of the adapter, for the message.

    Returns:
        bool: The value.

    Raises:
        ValueError: If it is another one.
    """
    if not isinstance(value, bool):
        raise ValueError(
            f'{who}: {name} must be True or False, got {value!r}.'
        )
    return value


class LinearLike(AdapterLayer):
    """An adapted layer that other code takes for an ``nn.Linear``."""

    @property
    def in_features(self) -> int:
        """Width of the input."""
        return self.linear.in_features

    @property
    def out_features(self) -> int:
        """Width of the output."""
        return self.linear.out_features

    def __rmatmul__(self, x: Tensor) -> Tensor:
        """Output for code that multiplies by what is no ``nn.Linear``.

        open_clip does so with the projection of a text tower, which may be a
        linear layer or a bare matrix.
        """
        return self(x)


class LowRank(AdapterLayer):
    """What layers with a low-rank change have in common, whatever is wrapped.

    With ``rslora``, the change is divided by the root of the rank
    (`A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA
    <https://arxiv.org/abs/2312.03732>`_), so that a higher rank does not
    learn more slowly. Only the number ``alpha`` that the layer holds and that
    its files keep is another one then: a file means the same to whoever loads
    it.
    """

    trained: tuple[str, ...] = ('lora_A', 'lora_B')
    #: Whether ``alpha`` is divided by the rank wherever it is used.
    alpha_by_rank = False
    rank: int
    rslora: bool
    alpha: Tensor
    lora_A: nn.Parameter
    lora_B: nn.Parameter

    def _set_options(self, rank: int, alpha: float, dropout: float) -> None:
        check_options(rank, alpha, dropout, type(self).__name__)
        self.rank = rank
        self.dropout = float(dropout)

    def _whole_alpha(self, alpha: float, rslora: bool) -> float:
        """The number that the layer holds for an option ``alpha``."""
        self.rslora = check_switch('rslora', rslora, type(self).__name__)
        if not rslora:
            return alpha
        root = math.sqrt(self.rank)
        return alpha * root if self.alpha_by_rank else alpha / root

    def whole_scale(self) -> float:
        """Factor of the product of the factors in the weight.

        Returns:
            float: It, as it is now.
        """
        alpha = self.alpha.item()
        return alpha / self.rank if self.alpha_by_rank else alpha

    def extra_repr(self) -> str:
        """Rank and state, for ``repr``."""
        return f'rank={self.rank}, {super().extra_repr()}'


class AdapterLinear(LowRank, LinearLike):
    """Base of the linear layers with a low-rank change.

    Holds the wrapped layer, frozen, as ``linear`` and the two factors
    ``lora_A`` ~ N(0, 1/rank) and ``lora_B`` = 0, so that the layer starts at
    the pretrained weight. The factors are float32 where the weight is of lower
    precision. A state dict always holds the unmerged layer.

    Args:
        linear (nn.Linear): The layer, with its pretrained weight in it.
            Frozen here.
        rank (int): Rank of the change, >= 1. Defaults to 8.
        alpha (float): Factor of the low-rank part. Defaults to 8.0.
        dropout (float): Probability of zeroing an element of the low-rank
            path's input in training. Norms are of the whole weight. Defaults
            to 0.0.
        rslora (bool): Whether alpha is divided by the root of the rank, see
            :class:`LowRank`. Defaults to False.

    Raises:
        TypeError: If ``linear`` is not a plain nn.Linear of floats.
        ValueError: If an option is out of range.
    """

    def __init__(
        self,
        linear: nn.Linear,
        rank: int = 8,
        alpha: float = 8.0,
        dropout: float = 0.0,
        rslora: bool = False,
    ) -> None:
        super().__init__(linear)
        self._set_options(rank, alpha, dropout)
        options = self._own_options()
        a = torch.randn(rank, linear.in_features, **options)
        self.lora_A = nn.Parameter(a * rank**-0.5)
        b = torch.zeros(linear.out_features, rank, **options)
        self.lora_B = nn.Parameter(b)
        self._add_number('alpha', self._whole_alpha(alpha, rslora))
        self._complete()
