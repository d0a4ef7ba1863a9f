"""PiSSA: low-rank factors that start at the principal parts of a weight."""

from typing import Any

import torch
from torch import Tensor, nn

from mmtpr.utils.finite import refuse_not_finite

from .base import LowRank

#: Ways in which factors may start.
INITS = ('zero', 'pissa')


class PrincipalStart(LowRank):
    r"""Low-rank layers whose factors may start at the weight's main parts.

    With ``init='pissa'`` (`PiSSA: Principal Singular Values and Singular
    Vectors Adaptation <https://arxiv.org/abs/2404.02948>`_), :math:`s B_0
    A_0` is the best approximation of W0 of this rank and what trains is
    :math:`W_0 - s B_0 A_0 + s B A`: the residual is frozen, and at its start
    the layer is the pretrained one.

    The rule of files: ``linear.weight`` stays W0, and the start is kept
    beside the factors as the buffers ``pissa_A`` and ``pissa_B``, in
    checkpoints and in adapter files. So an adapter file gives the same layer
    on the plain pretrained weights wherever it is loaded, and no
    decomposition has to come out the same twice.

    Args:
        linear (nn.Module): The layer, with its pretrained weight in it.
        rank (int): Rank of the change, >= 1. Defaults to 8.
        alpha (float): Factor of the change, divided by the rank. Defaults to
            8.0.
        dropout (float): Dropout of the low-rank path's input. Defaults to
            0.0.
        rslora (bool): Whether alpha is divided by the root of the rank
            instead. Defaults to False.
        init (str): ``'zero'`` or ``'pissa'``. Defaults to ``'zero'``.
    """

    def __init__(
        self,
        linear: Any,
        rank: int = 8,
        alpha: float = 8.0,
        dropout: float = 0.0,
        rslora: bool = False,
        init: str = 'zero',
    ) -> None:
        # Of the layer's kind, which comes after this in a class.
        kind: Any = super()
        kind.__init__(linear, rank, alpha, dropout, rslora)
        self._start(init)

    @classmethod
    def smallest(cls, options: dict[str, Any]) -> nn.Module:
        """Build a tiny layer, on which options are tried.

        Args:
            options (dict): Options of the adapter.

        Returns:
            nn.Module: The layer, of the rank where the start needs it.
        """
        rank = options.get('rank', 8)
        if options.get('init') != 'pissa' or type(rank) is not int:
            return super().smallest(options)
        return nn.Linear(max(rank, 1), max(rank, 1))

    @classmethod
    def misfit(cls, layer: Any, options: dict[str, Any]) -> str:
        """Say whether a weight has not the rank that the start needs.

        Args:
            layer (nn.Module): The layer.
            options (dict): Options of the adapter.

        Returns:
            str: The reason, or ''.
        """
        weight = getattr(layer, 'weight', None)
        if options.get('init') == 'pissa' and weight is not None:
            most = most_rank(weight, getattr(layer, 'groups', 1))
            if options.get('rank', 8) > most:
                return f"init='pissa' needs a rank of at most {most}"
        return super().misfit(layer, options)

    pissa_A: Tensor | None
    pissa_B: Tensor | None

    def _start(self, init: str) -> None:
        """Check the option, and start at the principal parts if it says so."""
        self.pissa_A = self.pissa_B = None
        who = type(self).__name__
        if init not in INITS:
            raise ValueError(
                f'{who}: init must be {" or ".join(map(repr, INITS))}, got '
                f'{init!r}.'
            )
        if init == 'zero':
            return
        scale = (self.alpha / self.rank).item() if not _is_meta(self) else 1.0
        if scale <= 0:
            raise ValueError(f"{who}: init='pissa' needs an alpha above 0.")
        with torch.no_grad():
            a, b = principal_factors(
                self.linear.weight, self.rank, self._groups(), scale
            )
            self.lora_A.copy_(a.view_as(self.lora_A))
            self.lora_B.copy_(b.view_as(self.lora_B))
        del self.pissa_A, self.pissa_B
        self.register_buffer('pissa_A', self.lora_A.detach().clone())
        self.register_buffer('pissa_B', self.lora_B.detach().clone())

    def _groups(self) -> int:
        return getattr(self.linear, 'groups', 1)

    def plain_factors(self) -> tuple[Tensor, Tensor]:
        """Factors of the change of W0: those of a plain LoRA.

        Returns:
            tuple[Tensor, Tensor]: A and B, of the rank, or after
            ``init='pissa'`` of twice the rank: those that train and, with the
            sign turned, those of the start. Differentiable.
        """
        a, b = self.lora_A, self.lora_B
        if self.pissa_A is None or self.pissa_B is None:
            return a, b
        cut = (self._groups(), -1)
        parts = [a.unflatten(0, cut), self.pissa_A.unflatten(0, cut)]
        return torch.cat(parts, 1).flatten(0, 1), torch.cat(
            [b, -self.pissa_B], 1
        )


def _is_meta(layer: Any) -> bool:
    return layer.lora_A.is_meta


def most_rank(weight: Tensor, groups: int = 1) -> int:
    """Highest rank that a change of a weight can have.

    Args:
        weight (Tensor): Shape (out, in) or (out, in / groups, h, w).
        groups (int): Number of groups. Defaults to 1.

    Returns:
        int: The rank, of all groups together.
    """
    return groups * min(len(weight) // groups, weight[0].numel())


def principal_factors(
    weight: Tensor, rank: int, groups: int, scale: float
) -> tuple[Tensor, Tensor]:
    """Factors whose product, scaled, is the best approximation of a weight.

    Args:
        weight (Tensor): Shape (out, in) or (out, in / groups, h, w).
        rank (int): Rank of all groups together.
        groups (int): Number of groups.
        scale (float): Factor of the product.

    Returns:
        tuple[Tensor, Tensor]: A (rank, K) and B (out, rank / groups), in
        float32 or float64.

    Raises:
        ValueError: If the weight has not that rank, or is not finite.
    """
    most = most_rank(weight, groups)
    if rank > most:
        raise ValueError(
            f"init='pissa' cannot give a weight of {tuple(weight.shape)} the "
            f'rank {rank}; it has {most}.'
        )
    refuse_not_finite([('A weight', weight)], 'What was pretrained')
    is_double = weight.dtype == torch.float64
    matrix = weight.to(torch.float64 if is_double else torch.float32)
    matrix = matrix.flatten(1).unflatten(0, (groups, -1))  # (g, out / g, K)
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    share = rank // groups
    root = (s[:, :share] / scale).sqrt()  # (g, rank / g)
    a = root[:, :, None] * v[:, :share]  # (g, rank / g, K)
    b = u[:, :, :share] * root[:, None]  # (g, out / g, rank / g)
    return a.flatten(0, 1), b.flatten(0, 1)
