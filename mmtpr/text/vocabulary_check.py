"""Check that a model knows the words of a tokenizer."""

import torch
from torch import Tensor


def check_vocabulary(tokens: Tensor, vocab_size: int | None) -> None:
    """Check that the encoder knows all tokens.

    On an accelerator this would wait for the device, and it would cut a graph
    of ``torch.compile``, so that only tokens on the CPU are looked at, and
    not while such a graph is made: the data preprocessor has looked.

    Args:
        tokens (Tensor): Token ids of any shape.
        vocab_size (int | None): Words of the encoder; None checks nothing.

    Raises:
        ValueError: If an id is beyond them.
    """
    looks = tokens.device.type == 'cpu' and not torch.compiler.is_compiling()
    if vocab_size is None or not looks or not len(tokens):
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
