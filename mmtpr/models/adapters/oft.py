"""OFT: a rotation of a frozen weight's inputs."""

from typing import Any

import torch
from torch import Tensor, nn

from mmtpr.utils.precision import compute_dtype, full_precision

from .base import LinearLike, check_switch


class OFTLinear(LinearLike):
    r"""Linear layer with weight :math:`W_0 R^T`, R block-diagonal, orthogonal.

    The inputs are rotated in blocks of ``block_size``. Each block comes from
    a skew-symmetric Q by Cayley's transform :math:`R = (I - Q)(I + Q)^{-1}`,
    so that angles and norms of the weight's rows stay. From `Controlling
    Text-to-Image Diffusion by Orthogonal Finetuning
    <https://arxiv.org/abs/2306.07280>`_, parametrised as peft does.

    Args:
        linear (nn.Linear): The layer, with its pretrained weight in it.
            Frozen here.
        block_size (int): Size of a block, >= 2; a divisor of the input's
            width. ``oft_R`` has a row of block_size * (block_size - 1) / 2
            numbers a block. Defaults to 32.
        neumann_terms (int): Terms of a Neumann series that stands for the
            inverse, >= 2: faster, and orthogonal only as long as Q is small.
            As in peft, the series turns the other way, Q for -Q. 0 means the
            exact transform. Defaults to 0.
        share_blocks (bool): Whether all blocks are one. Defaults to False.

    Raises:
        TypeError: If ``linear`` is not a plain nn.Linear of floats.
        ValueError: If an option is out of range or the block size does not
            divide the input's width.
    """

    trained: tuple[str, ...] = ('oft_R',)
    watched = 'oft_R'
    neumann_terms: Tensor
    _place: Tensor

    def __init__(
        self,
        linear: nn.Linear,
        block_size: int = 32,
        neumann_terms: int = 0,
        share_blocks: bool = False,
    ) -> None:
        super().__init__(linear)
        who = type(self).__name__
        for name, value, least in (
            ('block_size', block_size, 2),
            ('neumann_terms', neumann_terms, 0),
        ):
            if type(value) is not int or value < least:
                raise ValueError(
                    f'{who}: {name} must be an int >= {least}, got {value!r}.'
                )
        if neumann_terms == 1:
            raise ValueError(f'{who}: neumann_terms=1 never rotates.')
        reason = self.misfit(linear, dict(block_size=block_size))
        if reason:
            raise ValueError(f'{who}: {reason}.')
        self.block_size, self._terms = block_size, neumann_terms
        self.num_blocks = linear.in_features // block_size
        self.share_blocks = check_switch('share_blocks', share_blocks, who)
        options = self._own_options()
        rows = 1 if share_blocks else self.num_blocks
        size = block_size * (block_size - 1) // 2
        self.oft_R = nn.Parameter(torch.zeros(rows, size, **options))
        # In the file, since the same numbers are another weight with it.
        terms = torch.tensor(float(neumann_terms), **options)
        self.register_buffer('neumann_terms', terms)
        upper = torch.triu_indices(block_size, block_size, 1)
        place = (upper[0] * block_size + upper[1]).to(self.oft_R.device)
        self.register_buffer('_place', place, persistent=False)
        self._complete()

    @classmethod
    def misfit(cls, layer: nn.Module, options: dict[str, Any]) -> str:
        """Say whether the block size does not divide the input's width.

        Args:
            layer (nn.Module): The linear layer, or an attention that holds
                it.
            options (dict): Options of the adapter.

        Returns:
            str: The reason, or ''.
        """
        size = options.get('block_size', 32)
        width: Any = getattr(layer, 'in_features', None)
        if width is None:  # an attention, whose parts have this input
            width = layer.embed_dim
        if width % size == 0:
            return ''
        fits = [n for n in range(2, width + 1) if width % n == 0]
        near = sorted(fits, key=lambda n: abs(n - size))[:4]
        return (
            f'block_size {size} does not divide {width} inputs; '
            f'{", ".join(map(str, sorted(near)))} would'
        )

    @classmethod
    def smallest(cls, options: dict[str, Any]) -> nn.Module:
        """Build a tiny layer, on which options are tried.

        Args:
            options (dict): Options of the adapter.

        Returns:
            nn.Module: The layer.
        """
        size = options.get('block_size', 32)
        width = size if type(size) is int and size > 0 else 1
        return nn.Linear(width, 1, device='meta')

    def rotation(self) -> Tensor:
        """The blocks of R.

        Returns:
            Tensor: Shape (num_blocks, block_size, block_size), or (1, ...)
            if they are shared; differentiable, float32 or float64.
        """
        size, r = self.block_size, self.oft_R
        with full_precision(r.device):
            flat = r.new_zeros(len(r), size * size)
            q = flat.index_copy(1, self._place, r).unflatten(1, (size, size))
            q = q - q.mT  # (n, b, b)
            eye = torch.eye(size, device=q.device, dtype=q.dtype)
            if self._terms == 0:
                return torch.linalg.solve(eye + q, eye - q, left=False)
            return _series(q, eye, self._terms)

    def _adapted_forward(self, x: Tensor, x_low: Tensor | None) -> Tensor:
        dtype = compute_dtype(x)
        rotation = self.rotation().to(dtype)
        linear = self.linear
        with full_precision(x.device):
            blocks = x.to(dtype).unflatten(-1, (-1, self.block_size))
            blocks = (
                blocks @ rotation
                if len(rotation) == 1
                else _turn(blocks, rotation)
            )  # (..., n, b)
            bias = None if linear.bias is None else linear.bias.to(dtype)
            weight = linear.weight.to(dtype)
            return nn.functional.linear(blocks.flatten(-2), weight, bias)

    def _adapted_weight(self) -> Tensor:
        rotation = self.rotation()
        weight = self.linear.weight.to(rotation.dtype)
        rows = weight.unflatten(1, (-1, self.block_size))  # (out, n, b)
        return _turn(rows, rotation.mT).flatten(1)

    def extra_repr(self) -> str:
        """Blocks and state, for ``repr``."""
        return (
            f'block_size={self.block_size}, neumann_terms={self._terms}, '
            f'share_blocks={self.share_blocks}, {super().extra_repr()}'
        )


def _turn(blocks: Tensor, rotation: Tensor) -> Tensor:
    """Multiply each block (..., n, b) by its matrix (n or 1, b, b)."""
    rotation = rotation.expand(blocks.shape[-2], -1, -1)
    return torch.einsum('...nb,nbc->...nc', blocks, rotation)


def _series(q: Tensor, eye: Tensor, terms: int) -> Tensor:
    """Sum up I + 2 Q + 2 Q^2 + ... + Q^last, as peft does.

    The last power has no factor, which keeps the sum closer to orthogonal.
    """
    total = eye + 2 * q  # (n, b, b)
    if terms == 2:
        return total
    power = q @ q
    total = total + 2 * power
    for _ in range(3, terms - 1):
        power = power @ q
        total = total + 2 * power
    return total + power @ q
