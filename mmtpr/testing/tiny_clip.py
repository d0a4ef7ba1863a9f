"""A CLIP of two layers that runs in milliseconds."""

from typing import Any


def tiny_clip_cfg(
    image_size: tuple[int, int] = (64, 32),
    width: int = 32,
    layers: int = 2,
    context_length: int = 32,
    vocab_size: int = 49408,
    embed_dim: int = 32,
) -> dict[str, Any]:
    """Model config in the format of open_clip.

    Args:
        image_size (tuple[int, int]): Height and width. Defaults to (64, 32).
        width (int): Width of both towers, a multiple of 16. Defaults to 32.
        layers (int): Layers of each tower. Defaults to 2.
        context_length (int): Text tokens. Defaults to 32.
        vocab_size (int): Token ids; the default is that of CLIP's tokenizer.
        embed_dim (int): Width of the shared space. Defaults to 32.

    Returns:
        dict: ``model`` argument of :class:`OpenCLIPEncoder`.
    """
    return dict(
        embed_dim=embed_dim,
        vision_cfg=dict(
            image_size=list(image_size),
            layers=layers,
            width=width,
            head_width=16,
            patch_size=16,
        ),
        text_cfg=dict(
            context_length=context_length,
            vocab_size=vocab_size,
            width=width,
            heads=width // 16,
            layers=layers,
        ),
    )


def tiny_encoder_cfg(**kwargs) -> dict[str, Any]:
    """Config of a tiny :class:`OpenCLIPEncoder` without pretrained weights.

    Args:
        **kwargs: Arguments of :func:`tiny_clip_cfg`.

    Returns:
        dict: Config for ``MODELS.build``.
    """
    return dict(
        type='mmtpr.OpenCLIPEncoder',
        model=tiny_clip_cfg(**kwargs),
        pretrained=None,
    )
