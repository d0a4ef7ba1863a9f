"""A small Swin and a small BERT."""

from typing import Any


def tiny_swin_bert_cfg(**kwargs) -> dict[str, Any]:
    """Config of a :class:`SwinBertEncoder` that runs in milliseconds.

    Args:
        **kwargs: Further arguments of the encoder; they win.

    Returns:
        dict: Config for ``MODELS.build``: images of 64 x 32, tokens of
        width 64 from images and 32 from captions, 64 words.
    """
    cfg = dict(
        type='mmtpr.SwinBertEncoder',
        image=dict(
            arch=dict(
                embed_dims=8, depths=[2, 2, 2, 1], num_heads=[1, 2, 2, 4]
            ),
            window_size=4,
        ),
        text=dict(
            hidden_size=32,
            num_hidden_layers=4,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=64,
            vocab_size=64,
        ),
        image_size=(64, 32),
        fusion_layer=2,
        embed_dim=16,
    )
    return cfg | kwargs


def shrink_swin_bert(node: dict, size: tuple[int, int]) -> None:
    """Make a :class:`SwinBertEncoder` tiny, without pretrained weights.

    Args:
        node (dict): The config, changed in place.
        size (tuple[int, int]): Height and width of the images, multiples
            of 32.
    """
    small = tiny_swin_bert_cfg(image_size=size, fusion_layer=1)
    # A shifted window, the merging of patches and both kinds of BERT's
    # layers; more of them is only more of the same.
    small['image']['arch'].update(depths=[2, 1, 1, 1])
    small['text'].update(num_hidden_layers=2)
    node.update(
        small,
        image_pretrained=None,
        text_pretrained=None,
        pretrained=None,
        grad_checkpointing=False,
    )
