"""The gallery side: one vector or several for each image."""

from typing import Any

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmtpr.registry import MODELS

from .features import TargetFeatures


@MODELS.register_module()
class PooledTarget(BaseModule):
    """The encoder's one feature of an image (T = 1).

    It is projected, and ``raw``, what MFR takes, is the same feature.

    Args:
        encoder (nn.Module): Filled in by the retriever, and not kept.
        init_cfg (dict, optional): Initialization config.
    """

    def __init__(self, encoder: Any, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg=init_cfg)
        self.raw_dim = encoder.embed_dim
        self.num_tokens = 1

    def forward(self, encoder: Any, images: Tensor) -> TargetFeatures:
        """Embed images.

        Args:
            encoder (nn.Module): The encoder.
            images (Tensor): Images of shape (N, 3, H, W).

        Returns:
            TargetFeatures: Tokens of shape (N, 1, D).
        """
        feats = encoder.encode_image(images)
        return TargetFeatures(feats[:, None], feats, feats)


@MODELS.register_module()
class PatchTokens(BaseModule):
    """Projected patch tokens of an open_clip encoder.

    The light counterpart of a Q-Former's 32 queries. Patches are averaged to
    a smaller grid, or all of them kept.

    ``raw``, what masked feature reasoning (MFR) takes, is the mean of the
    *projected* tokens, where the paper and :class:`EncoderTarget` have
    features before projection: query and target share a width and a space
    only behind the projection of a dual encoder.

    Args:
        encoder (nn.Module): Filled in by the retriever, and not kept.
        grid (tuple[int, int], optional): Rows and columns of tokens. Defaults
            to None: all patches.
        init_cfg (dict, optional): Initialization config.

    Raises:
        TypeError: If the encoder's patch tokens are not in the shared space.
    """

    def __init__(
        self,
        encoder: Any,
        grid: tuple[int, int] | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.grid = None if grid is None else (grid[0], grid[1])
        self.num_tokens = self.grid and self.grid[0] * self.grid[1]
        self.raw_dim = encoder.embed_dim
        self.image_size = encoder.image_size
        self.projection: nn.Module = nn.Identity()
        if encoder.image_token_width != encoder.embed_dim:
            self.projection = nn.Linear(
                encoder.image_token_width, encoder.embed_dim, bias=False
            )

    def forward(self, encoder: Any, images: Tensor) -> TargetFeatures:
        """Embed images.

        Args:
            encoder (nn.Module): The encoder.
            images (Tensor): Images of shape (N, 3, H, W).

        Returns:
            TargetFeatures: Tokens of shape (N, rows * columns, D), their mean
            as ``raw``, the pooled feature of the tower as ``pooled``.
        """
        pooled, tokens = encoder.encode_image(images, return_tokens=True)
        rows, columns = patch_grid(tokens.shape[1], self.image_size)
        tokens = tokens[:, tokens.shape[1] - rows * columns :]
        if self.grid is not None:
            tokens = tokens.transpose(1, 2).unflatten(2, (rows, columns))
            tokens = F.adaptive_avg_pool2d(tokens, self.grid)
            tokens = tokens.flatten(2).transpose(1, 2)
        tokens = self.projection(tokens)
        return TargetFeatures(tokens, tokens.mean(dim=1), pooled)


def patch_grid(
    num_tokens: int, image_size: tuple[int, int], most_extra: int = 8
) -> tuple[int, int]:
    """Rows and columns of patches, whatever stands before them.

    Args:
        num_tokens (int): Tokens of an image, class and register tokens
            included, which come first.
        image_size (tuple[int, int]): Height and width of the image.
        most_extra (int): Most tokens that are no patches. Defaults to 8.

    Returns:
        tuple[int, int]: Rows and columns of square patches.

    Raises:
        ValueError: If there is no such grid.
    """
    height, width = image_size
    for extra in range(min(most_extra, num_tokens - 1) + 1):
        patches = num_tokens - extra
        rows = round((patches * height / width) ** 0.5)
        if rows and patches % rows == 0:
            columns = patches // rows
            if rows * width == columns * height:
                return rows, columns
    raise ValueError(
        f'{num_tokens} tokens are no grid of square patches of an image of '
        f'{height}x{width}.'
    )


@MODELS.register_module()
class EncoderTarget(BaseModule):
    """Tokens made by the encoder itself, as a Q-Former does.

    The encoder offers ``encode_target(images, return_hidden=True)`` with
    tokens (N, T, D) and hidden states (N, T, H). ``raw``, what masked feature
    reasoning takes, is their mean before projection, as in the release.

    Args:
        encoder (nn.Module): Filled in by the retriever, and not kept.
        init_cfg (dict, optional): Initialization config.
    """

    def __init__(self, encoder: Any, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg=init_cfg)
        if not hasattr(encoder, 'encode_target'):
            raise TypeError(
                f'{type(encoder).__name__} makes no target tokens; give the '
                "retriever target=dict(type='mmtpr.PatchTokens')."
            )
        self.raw_dim = encoder.hidden_dim
        self.num_tokens = getattr(encoder, 'num_queries', None)

    def forward(self, encoder: Any, images: Tensor) -> TargetFeatures:
        """Embed images.

        Args:
            encoder (nn.Module): The encoder.
            images (Tensor): Images of shape (N, 3, H, W).

        Returns:
            TargetFeatures: Tokens, and the mean hidden state as ``raw``.
        """
        tokens, hidden = encoder.encode_target(images, return_hidden=True)
        return TargetFeatures(tokens, hidden.mean(dim=1))
