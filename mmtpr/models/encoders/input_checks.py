"""Checks of the images and tokens that encoders read."""

from collections.abc import Sequence

from torch import Tensor

from mmtpr.text.vocabulary_check import check_vocabulary


def check_image_size(images: Tensor, size: Sequence[int]) -> None:
    """Check the size of images.

    Args:
        images (Tensor): Of shape (M, 3, H, W).
        size (Sequence[int]): Height and width wanted.

    Raises:
        ValueError: If they differ.
    """
    if tuple(images.shape[-2:]) != tuple(size):
        raise ValueError(
            f'The encoder takes images of {size[0]}x{size[1]} (height x '
            f'width), got {images.shape[-2]}x{images.shape[-1]}. Set '
            f'Resize(scale=({size[1]}, {size[0]})) in the pipeline or '
            'image_size of the encoder.'
        )


def check_bert_length(tokens: Tensor, limit: int) -> None:
    """Check that captions are no longer than BERT's positions.

    Args:
        tokens (Tensor): Token ids of shape (K, L).
        limit (int): Largest L.

    Raises:
        ValueError: If they are longer.
    """
    if tokens.shape[1] > limit:
        raise ValueError(
            f'The encoder takes at most {limit} text tokens, got '
            f'{tokens.shape[1]}. Set max_length of mmtpr.TokenizeBert.'
        )


def check_bert_tokens(tokens: Tensor, limit: int, vocab_size: int) -> None:
    """Check length and, on the CPU, ids of captions.

    Args:
        tokens (Tensor): Token ids of shape (K, L).
        limit (int): Largest L.
        vocab_size (int): Words of the encoder.

    Raises:
        ValueError: If they are longer, or an id is beyond the vocabulary.
    """
    check_bert_length(tokens, limit)
    check_vocabulary(tokens, vocab_size)
