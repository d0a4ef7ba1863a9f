"""A cross-modal model that runs in milliseconds."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmtpr.models import RetrievalDataPreprocessor


class TinyCrossModel(BaseModel):
    """Text layers, cross layers and a matching head, of BERT's layout.

    It has the interface that re-ranking needs and random weights.

    Args:
        width (int): Width of text, a multiple of the number of heads.
            Defaults to 32.
        image_width (int): Width of image tokens. Defaults to 24.
        layers (int): Text layers, and as many cross layers. Defaults to 1.
        heads (int): Attention heads. Defaults to 2.
        vocab_size (int): Token ids; 0 is padding. Defaults to 100.
        max_length (int): Text tokens at most. Defaults to 56.
        grid (tuple[int, int]): Image tokens in height and width. Defaults
            to (3, 2).
        embed_dim (int): Width of the features. Defaults to 16.
    """

    text_layers: Any
    cross_layers: Any

    def __init__(
        self,
        width: int = 32,
        image_width: int = 24,
        layers: int = 1,
        heads: int = 2,
        vocab_size: int = 100,
        max_length: int = 56,
        grid: tuple[int, int] = (3, 2),
        embed_dim: int = 16,
    ) -> None:
        super().__init__(data_preprocessor=RetrievalDataPreprocessor())
        self.grid = grid
        self.words = nn.Embedding(vocab_size, width)
        self.positions = nn.Embedding(max_length, width)
        self.patches = nn.Linear(3, image_width)
        self.text_layers = nn.ModuleList(
            _Layer(width, heads) for _ in range(layers)
        )
        self.cross_layers = nn.ModuleList(
            _Layer(width, heads, image_width) for _ in range(layers)
        )
        self.image_proj = nn.Linear(image_width, embed_dim)
        self.text_proj = nn.Linear(width, embed_dim)
        self.itm_head = nn.Sequential(
            nn.Linear(width, 2 * width),
            nn.LayerNorm(2 * width),
            nn.GELU(),
            nn.Linear(2 * width, 2),
        )

    def encode_image(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Embed images.

        Args:
            images (Tensor): Of shape (M, 3, H, W).

        Returns:
            tuple[Tensor, Tensor]: Features (M, D), normalised, and tokens
            with their mean in front (M, N, V).
        """
        pooled = F.adaptive_avg_pool2d(images, self.grid)
        tokens = self.patches(pooled.flatten(2).transpose(1, 2)).tanh()
        tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], dim=1)
        return F.normalize(self.image_proj(tokens[:, 0]), dim=-1), tokens

    def encode_text(self, tokens: Tensor, mask: Tensor) -> tuple:
        """Embed captions.

        Args:
            tokens (Tensor): Of shape (K, L).
            mask (Tensor): 1 where a token counts, of shape (K, L).

        Returns:
            tuple[Tensor, Tensor]: Features (K, D), normalised, and states
            (K, L, W).
        """
        states = self.words(tokens) + self.positions.weight[: tokens.shape[1]]
        for layer in self.text_layers:
            states = layer(states, mask)
        return F.normalize(self.text_proj(states[:, 0]), dim=-1), states

    def image_keys_values(self, image_embeds: Tensor) -> list[tuple]:
        """Compute what cross-attention reads of images.

        Args:
            image_embeds (Tensor): Of shape (M, N, V).

        Returns:
            list[tuple[Tensor, Tensor]]: Of each cross layer keys and values,
            (M, heads, N, W / heads).
        """
        return [layer.keys_values(image_embeds) for layer in self.cross_layers]

    def prepare_text(self, text_embeds: Tensor, text_mask: Tensor) -> Tensor:
        """Let captions read themselves before they meet images.

        Args:
            text_embeds (Tensor): Of shape (K, L, W).
            text_mask (Tensor): Of shape (K, L).

        Returns:
            Tensor: Of shape (K, L, W).
        """
        return self.cross_layers[0].read_text(text_embeds, text_mask)

    def itm_scores(
        self,
        text_embeds: Tensor,
        text_mask: Tensor,
        image_embeds: Any = None,
        keys_values: Sequence[tuple] | None = None,
        prepared: bool = False,
    ) -> Tensor:
        """Score pairs.

        Args:
            text_embeds (Tensor): Of shape (P, L, W).
            text_mask (Tensor): Of shape (P, L).
            image_embeds (Tensor, optional): Of shape (P, N, V).
            keys_values (Sequence[tuple], optional): In place of them, of P
                images.
            prepared (bool): Whether the states come from
                :meth:`prepare_text`. Defaults to False.

        Returns:
            Tensor: Of shape (P, ).
        """
        if keys_values is None:
            keys_values = self.image_keys_values(image_embeds)
        states = text_embeds
        if not prepared:
            states = self.prepare_text(states, text_mask)
        for i, layer in enumerate(self.cross_layers):
            if i:
                states = layer.read_text(states, text_mask)
            states = layer.read_image(states, keys_values[i])
        return self.itm_head(states[:, 0])[:, 1]

    def forward(self, inputs, data_samples=None, mode='tensor') -> list:
        """Put features on samples.

        Args:
            inputs (dict): Output of the data preprocessor.
            data_samples (Sequence): The samples.
            mode (str): ``'predict'``.

        Returns:
            list: The samples.
        """
        tokens = inputs.get('tokens', torch.zeros(0, 1, dtype=torch.long))
        texts = iter(self.encode_text(tokens, (tokens != 0).long())[0])
        images = iter(())
        if 'image' in inputs:
            images = iter(self.encode_image(inputs['image'])[0][:, None])
        for sample in data_samples:
            source = texts if sample.role == 'query' else images
            sample.features = next(source)
        return list(data_samples)


class _Layer(nn.Module):
    """Self-attention, cross-attention if wanted, MLP; norms behind."""

    def __init__(
        self, width: int, heads: int, image_width: int | None = None
    ) -> None:
        super().__init__()
        self.heads = heads
        self.own = nn.ModuleList(nn.Linear(width, width) for _ in range(4))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        if image_width:
            self.query = nn.Linear(width, width)
            self.key = nn.Linear(image_width, width)
            self.value = nn.Linear(image_width, width)
            self.out = nn.Linear(width, width)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def keys_values(self, image_embeds: Tensor) -> tuple[Tensor, Tensor]:
        """(M, N, V) -> keys and values (M, heads, N, W / heads)."""
        key, value = self.key(image_embeds), self.value(image_embeds)
        return self._split(key), self._split(value)

    def read_text(self, x, mask) -> Tensor:
        """(P, L, W), (P, L) -> (P, L, W)."""
        query, key, value = (self._split(f(x)) for f in self.own[:3])
        bias = torch.zeros(mask.shape, dtype=query.dtype, device=x.device)
        bias = bias.masked_fill(mask == 0, -1e4)[:, None, None]
        seen = F.scaled_dot_product_attention(query, key, value, bias)
        seen = self.own[3](seen.transpose(1, 2).flatten(2))
        return self.norms[0](x + seen)

    def read_image(self, x, keys_values) -> Tensor:
        """(P, L, W) -> (P, L, W)."""
        query = self._split(self.query(x))
        seen = F.scaled_dot_product_attention(query, *keys_values)
        x = self.norms[1](x + self.out(seen.transpose(1, 2).flatten(2)))
        return self.think(x)

    def think(self, x) -> Tensor:
        """(P, L, W) -> (P, L, W)."""
        return self.norms[2](x + self.down(F.gelu(self.up(x))))

    def forward(self, x, mask) -> Tensor:
        """(P, L, W), (P, L) -> (P, L, W), without an image."""
        return self.think(self.read_text(x, mask))
