"""Noise on the statistics of target tokens."""

import torch
from mmengine.model import BaseModule
from torch import Tensor

from mmtpr.registry import MODELS


@MODELS.register_module()
class TokenStatisticsNoise(BaseModule):
    r"""Perturb the mean and deviation of tokens (DSU, arXiv 2202.03958).

    An image's mean :math:`\mu` and deviation :math:`\sigma` over its tokens
    are drawn anew from normal distributions around them, as wide as the
    batch's own spread of :math:`\mu` and :math:`\sigma`. Only in training.
    FAFA's release does so with p = 0.8.

    Args:
        p (float): Probability for a batch. Defaults to 0.8.
        factor (float): Factor of the noise. Defaults to 1.0.
        eps (float): Added to variances. Defaults to 1e-6.
        init_cfg (dict, optional): Initialization config.

    Raises:
        ValueError: If ``p`` is not in 0..1.
    """

    def __init__(
        self,
        p: float = 0.8,
        factor: float = 1.0,
        eps: float = 1e-6,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if not 0 <= p <= 1:
            raise ValueError(f'p must be in 0..1, got {p}.')
        self.p, self.factor, self.eps = p, factor, eps

    def forward(self, tokens: Tensor) -> Tensor:
        """Perturb the tokens.

        Args:
            tokens (Tensor): Of shape (N, T, D).

        Returns:
            Tensor: Of the same shape; unchanged in evaluation and where one
            image or one token has no spread.
        """
        if not self.training or min(tokens.shape[:2]) < 2:
            return tokens
        if torch.compiler.is_compiling():  # whose graphs have no branches
            drawn = torch.rand((), device=tokens.device)
            return torch.where(drawn < self.p, self._perturbed(tokens), tokens)
        if float(torch.rand(())) >= self.p:
            return tokens
        return self._perturbed(tokens)

    def _perturbed(self, tokens: Tensor) -> Tensor:
        mean = tokens.mean(dim=1, keepdim=True)
        deviation = (tokens.var(dim=1, keepdim=True) + self.eps).sqrt()
        shifted, scaled = self._around(mean), self._around(deviation)
        return (tokens - mean) / deviation * scaled + shifted

    def _around(self, value: Tensor) -> Tensor:
        spread = (value.var(dim=0, keepdim=True) + self.eps).sqrt()
        return value + self.factor * torch.randn_like(value) * spread

    def extra_repr(self) -> str:
        """Show the settings when printed."""
        return f'p={self.p}, factor={self.factor}'
