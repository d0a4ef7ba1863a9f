"""Check that a model knows the words of a tokenizer."""

from torch import Tensor


def check_vocabulary(tokens: Tensor, vocab_size: int | None) -> None:
    """Check that the encoder knows all tokens.

    On an accelerator this would wait for the device, so that only tokens on
    the CPU are looked at.

    Args:
        tokens (Tensor): Token ids of any shape.
        vocab_size (int | None): Words of the encoder; None checks nothing.

    Raises:
        ValueError: If an id is beyond them.
    """
    if vocab_size is None or tokens.device.type != 'cpu' or not len(tokens):
        return
    largest = int(tokens.max())
    if largest >= vocab_size:
        raise ValueError(
            f'Token id {largest} comes from a vocabulary of at least '
            f'{largest + 1} words, but the encoder has {vocab_size}. Set '
            'vocab of mmtpr.TokenizeBert and its like to the vocabulary that '
            "the encoder was trained with, or vocab_size of the encoder's "
            'text.'
        )
