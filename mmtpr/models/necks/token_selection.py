"""The embedding of RDE that is made of selected tokens."""

from typing import Any, ClassVar, Protocol

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmtpr.registry import MODELS


class Attended(Protocol):
    """Tokens of a batch and which of them were attended to.

    Attributes:
        tokens (Tensor): Of shape (B, N, W).
        attention (Tensor): How much the token that became the feature
            attends to each, (B, N).
        positions (Tensor): Where that token stands, (B, ), long.
    """

    tokens: Tensor
    attention: Tensor
    positions: Tensor


def select_patches(attention: Tensor, ratio: float) -> Tensor:
    """Select the patches that the class token attends to most.

    Args:
        attention (Tensor): Of the class token, which is the first, of shape
            (B, 1 + P).
        ratio (float): Share of the P patches to select.

    Returns:
        Tensor: Positions of the k = int(ratio * P) patches, the most attended
        first, of shape (B, k), long.

    Raises:
        ValueError: If that is no patch.
    """
    number = _number(attention.shape[1] - 1, ratio, 'patches of an image')
    return attention[:, 1:].topk(number, dim=1).indices + 1  # (B, k)


def select_words(
    attention: Tensor, ends: Tensor, ratio: float
) -> tuple[Tensor, Tensor]:
    """Select the words that the end of a caption attends to most.

    Args:
        attention (Tensor): Of the end-of-text token, of shape (B, L).
        ends (Tensor): Its positions, of shape (B, ).
        ratio (float): Share of the L - 2 places between start and end.

    Returns:
        tuple[Tensor, Tensor]: Positions of k = int(ratio * (L - 2)) tokens,
        the most attended words first, of shape (B, k), long, and how many of
        them are words, of shape (B, ): where a caption has fewer than k words
        the rest is padding.

    Raises:
        ValueError: If k is 0.
    """
    length = attention.shape[1]
    number = _number(length - 2, ratio, 'words of a caption')
    place = torch.arange(length, device=attention.device)  # (L,)
    after_start = place > 0
    words = after_start & (place < ends[:, None])  # (B, L)
    # Behind all words comes padding, from left to right, and last of all
    # start and end: where attention is equal, the order still is the same.
    special = (place == 0) | (place == ends[:, None])  # (B, L)
    rest = -(place + 2 * length * special.long() + 1).float()  # (B, L)
    order = torch.where(words, attention.float(), rest)  # (B, L)
    chosen = order.topk(number, dim=1).indices  # (B, k)
    return chosen, (ends - 1).clamp(0, number)


def _number(places: int, ratio: float, what: str) -> int:
    number = int(places * ratio)
    if number < 1:
        raise ValueError(
            f'ratio={ratio} of the {places} {what} selects none of them: '
            f'take at least {1 / max(places, 1):.3g}.'
        )
    return number


class SelectedTokens(nn.Module):
    """Selected tokens of one tower become one vector.

    Each token is L2-normalised; a linear shortcut and a perceptron with a
    batch norm are added; of each dimension the greatest over tokens is taken.

    Args:
        width (int): Width W of the tokens.
        embed_dim (int): Dimension E of the vector.
        hidden_dim (int): Hidden width of the perceptron.
    """

    def __init__(self, width: int, embed_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.shortcut = nn.Linear(width, embed_dim)
        self.hidden = nn.Linear(width, hidden_dim)
        self.norm = nn.BatchNorm1d(hidden_dim)
        self.output = nn.Linear(hidden_dim, embed_dim)

    def forward(
        self, tokens: Tensor, chosen: Tensor, counts: Tensor | None = None
    ) -> Tensor:
        """Embed.

        Args:
            tokens (Tensor): All tokens, of shape (B, N, W).
            chosen (Tensor): Positions of the selected ones, of shape (B, k).
            counts (Tensor, optional): How many of them take part in the
                maximum, the first ones, of shape (B, ); where none does, the
                vector is 0. Defaults to None: all do.

        Returns:
            Tensor: Of shape (B, E), not normalised.
        """
        index = chosen[..., None].expand(-1, -1, tokens.shape[2])
        x = F.normalize(tokens.gather(1, index), dim=-1)  # (B, k, W)
        hidden = self.hidden(x).flatten(0, 1)  # (B * k, H)
        hidden = F.relu(self.norm(hidden)).unflatten(0, x.shape[:2])
        x = self.shortcut(x) + self.output(hidden)  # (B, k, E)
        if counts is None:
            return x.amax(dim=1)
        place = torch.arange(x.shape[1], device=x.device)  # (k,)
        counts = counts[:, None]  # (B, 1)
        # Of no word at all the maximum would be -inf.
        outside = place >= counts.clamp(min=1)  # (B, k)
        x = x.masked_fill(outside[..., None], -torch.inf).amax(dim=1)
        return x * (counts > 0)  # (B, E)


@MODELS.register_module()
class TokenSelection(BaseModule):
    """Token selection embedding of RDE (TSE, arXiv 2308.09911).

    Stands in ``necks`` of a :class:`mmtpr.TextPersonRetriever`, beside the
    embedding of the encoder. Of the tokens of the last layer those count that
    the class token of the image, or the end-of-text token of the caption,
    attends to most in the last block; class, start and end tokens are left
    out. Of a caption with fewer words than are selected its words alone take
    part in the maximum, and one without any gets the vector 0, which is as
    far from all images.

    The batch norms see the selected tokens of their process, padding of short
    captions too, as released. ``sync_bn='torch'`` of a config makes them one
    on several GPUs.

    Args:
        image_width (int): Width of image tokens; that of the encoder if a
            retriever builds the neck.
        text_width (int): Width of text tokens, likewise.
        embed_dim (int): Dimension E of the embedding. Defaults to 1024.
        hidden_dim (int): Hidden width. Defaults to 512.
        ratio (float): Share of the tokens that are selected. Defaults to
            0.3: 57 of 192 patches, 22 of 75 words.
        weight (float): Weight of this embedding's cosine in the similarity,
            where that of the encoder's has ``global_weight`` of the
            retriever. Defaults to 1.0.
        init_cfg (dict, optional): Initialization config. Defaults to None.

    Raises:
        ValueError: If an argument is out of range.
    """

    #: Arguments a retriever fills from its encoder: argument -> attribute.
    encoder_args: ClassVar[dict[str, str]] = dict(
        image_width='image_token_width', text_width='text_token_width'
    )

    def __init__(
        self,
        image_width: int,
        text_width: int,
        embed_dim: int = 1024,
        hidden_dim: int = 512,
        ratio: float = 0.3,
        weight: float = 1.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if not 0 < ratio <= 1:
            raise ValueError(f'ratio must be in (0, 1], got {ratio}.')
        if weight < 0:
            raise ValueError(f'weight must be >= 0, got {weight}.')
        self.embed_dim = embed_dim
        self.ratio = ratio
        self.weight = weight
        self.image = SelectedTokens(image_width, embed_dim, hidden_dim)
        self.text = SelectedTokens(text_width, embed_dim, hidden_dim)

    def function_facts(self) -> dict[str, Any]:
        """Tell what decides the embedding and is not among the weights.

        Returns:
            dict: See :mod:`mmtpr.checkpoints.function_facts`.
        """
        return dict(ratio=self.ratio)

    def embed_image(self, attended: Attended) -> Tensor:
        """Embed images by selected patches.

        Args:
            attended (Attended): Tokens (B, 1 + P, W), the class token first.

        Returns:
            Tensor: Of shape (B, E), not normalised.
        """
        chosen = select_patches(attended.attention, self.ratio)
        return self.image(attended.tokens, chosen)

    def embed_text(self, attended: Attended) -> Tensor:
        """Embed captions by selected words.

        Args:
            attended (Attended): Tokens (B, L, W), the first one the start.

        Returns:
            Tensor: Of shape (B, E), not normalised.
        """
        parts = attended.attention, attended.positions, self.ratio
        return self.text(attended.tokens, *select_words(*parts))
