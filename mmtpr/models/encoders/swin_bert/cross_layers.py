"""Cross layers of BERT that attend to images of another width.

A decoder layer of transformers keeps keys and values as wide as the text, and
how it takes ready-made ones differs from version to version. Here the parts of
a layer are called in their order, with a cross-attention of our own that has
BERT's names.
"""

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from mmtpr.utils.lazy import require

_BERT = 'transformers.models.bert.modeling_bert'
#: Added to the attention logits of padding, as in BERT's first release.
_HIDDEN = -10000.0


class ImageCrossAttention(nn.Module):
    """Cross-attention of text to tokens of another width.

    Args:
        config (transformers.BertConfig): Sizes of the text side.
        image_width (int): Width of the tokens that are read.
    """

    def __init__(self, config: Any, image_width: int) -> None:
        super().__init__()
        bert = require(_BERT, 'blip2', 'BERT')
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.dropout = config.attention_probs_dropout_prob
        self.self = nn.ModuleDict(
            dict(
                query=nn.Linear(width, width),
                key=nn.Linear(image_width, width),
                value=nn.Linear(image_width, width),
            )
        )
        self.output = bert.BertSelfOutput(config)
        for module in (*self.self.values(), self.output.dense):
            nn.init.normal_(module.weight, std=config.initializer_range)
            nn.init.zeros_(module.bias)

    def keys_values(self, image_embeds: Tensor) -> tuple[Tensor, Tensor]:
        """Project what is read.

        Args:
            image_embeds (Tensor): Of shape (M, N, image_width).

        Returns:
            tuple[Tensor, Tensor]: Keys and values, each of shape
            (M, heads, N, width / heads).
        """
        return (
            _split(self.self['key'](image_embeds), self.heads),
            _split(self.self['value'](image_embeds), self.heads),
        )

    def forward(self, hidden: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Read.

        Args:
            hidden (Tensor): Text states of shape (P, L, width).
            keys (Tensor): Of P images, see :meth:`keys_values`.
            values (Tensor): Likewise.

        Returns:
            Tensor: Of shape (P, L, width).
        """
        context = F.scaled_dot_product_attention(
            _split(self.self['query'](hidden), self.heads),
            keys,
            values,
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self.output(context.transpose(1, 2).flatten(2), hidden)


def _split(states: Tensor, heads: int) -> Tensor:
    return states.unflatten(-1, (heads, -1)).transpose(1, 2)


def attention_bias(mask: Tensor, dtype: Any) -> Tensor:
    """Turn a mask into a bias that is added to attention logits.

    Args:
        mask (Tensor): 1 where a token counts, of shape (K, L).
        dtype (torch.dtype): Type of the states.

    Returns:
        Tensor: 0 or -10000, of shape (K, 1, 1, L).
    """
    return (mask[:, None, None, :] == 0).to(dtype) * _HIDDEN


def text_layer(layer: Any, hidden: Tensor, bias: Tensor) -> Tensor:
    """Run a layer that sees only text.

    Args:
        layer (nn.Module): ``BertLayer`` of transformers.
        hidden (Tensor): Of shape (K, L, width).
        bias (Tensor): See :func:`attention_bias`.

    Returns:
        Tensor: Of shape (K, L, width).
    """
    return layer.feed_forward_chunk(layer.attention(hidden, bias)[0])


def cross_layer(
    layer: Any,
    hidden: Tensor,
    bias: Tensor,
    keys: Tensor,
    values: Tensor,
) -> Tensor:
    """Run a layer that also reads images.

    Args:
        layer (nn.Module): ``BertLayer`` with an :class:`ImageCrossAttention`.
        hidden (Tensor): Of shape (P, L, width).
        bias (Tensor): See :func:`attention_bias`.
        keys (Tensor): Of P images.
        values (Tensor): Of P images.

    Returns:
        Tensor: Of shape (P, L, width).
    """
    hidden = layer.attention(hidden, bias)[0]
    return read_image(layer, hidden, keys, values)


def read_image(
    layer: Any, hidden: Tensor, keys: Tensor, values: Tensor
) -> Tensor:
    """Run what is left of a cross layer after its self-attention.

    Args:
        layer (nn.Module): ``BertLayer`` with an :class:`ImageCrossAttention`.
        hidden (Tensor): Of shape (P, L, width), self-attended.
        keys (Tensor): Of P images.
        values (Tensor): Of P images.

    Returns:
        Tensor: Of shape (P, L, width).
    """
    return layer.feed_forward_chunk(layer.crossattention(hidden, keys, values))


def first_cross_layer(
    layer: Any,
    hidden: Tensor,
    bias: Tensor,
    keys: Tensor,
    values: Tensor,
) -> Tensor:
    """Run a layer that also reads images, for the first token alone.

    The first token, [CLS], still reads all tokens of its text, so that it is
    the first of :func:`cross_layer`.

    Args:
        layer (nn.Module): ``BertLayer`` with an :class:`ImageCrossAttention`.
        hidden (Tensor): Of shape (P, L, width).
        bias (Tensor): See :func:`attention_bias`.
        keys (Tensor): Of P images.
        values (Tensor): Of P images.

    Returns:
        Tensor: Of shape (P, 1, width).
    """
    own = layer.attention.self
    if getattr(own, 'position_embedding_type', 'absolute') != 'absolute':
        return cross_layer(layer, hidden, bias, keys, values)[:, :1]
    first, heads = hidden[:, :1], own.num_attention_heads
    context = F.scaled_dot_product_attention(
        _split(own.query(first), heads),
        _split(own.key(hidden), heads),
        _split(own.value(hidden), heads),
        attn_mask=bias,
        dropout_p=own.dropout.p if own.training else 0.0,
    )
    first = layer.attention.output(context.transpose(1, 2).flatten(2), first)
    return read_image(layer, first, keys, values)


def run_cross_layers(
    layers: list[tuple[nn.Module, tuple[Tensor, Tensor]]],
    hidden: Tensor,
    bias: Tensor,
    run: Callable[..., Tensor],
    only_first: bool = False,
    prepared: bool = False,
) -> Tensor:
    """Run layers that read images, one after the other.

    Args:
        layers (list[tuple]): Each with the keys and values it reads.
        hidden (Tensor): Of shape (P, L, width).
        bias (Tensor): See :func:`attention_bias`.
        run (Callable): Called with a layer's function and its arguments.
        only_first (bool): Whether only the first token is wanted. Defaults
            to False.
        prepared (bool): Whether the self-attention of the first layer is
            done. Defaults to False.

    Returns:
        Tensor: Of shape (P, L, width), or (P, 1, width).
    """
    for i, (layer, pair) in enumerate(layers):
        first = only_first and i == len(layers) - 1
        if prepared and i == 0:
            hidden = hidden[:, :1] if first else hidden
            hidden = run(read_image, layer, hidden, *pair)
        else:
            form = first_cross_layer if first else cross_layer
            hidden = run(form, layer, hidden, bias, *pair)
    return hidden
