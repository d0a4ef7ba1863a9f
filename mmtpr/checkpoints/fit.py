"""Whether a state dict is one of a model, name by name."""

import re
from collections.abc import Mapping

from torch import Tensor

_WORDS = re.compile(r'(?:token_embedding|word_embeddings)\.weight')


def check_fit(
    state: Mapping[str, Tensor], own: Mapping[str, Tensor], where: str
) -> None:
    """Check that names and shapes agree one to one.

    Args:
        state (Mapping[str, Tensor]): The weights.
        own (Mapping[str, Tensor]): State dict of the model, which may lie on
            the meta device.
        where (str): Where the weights are from, for the message.

    Raises:
        ValueError: If a name is missing or unknown or a shape differs. A
            vocabulary of another size is named as such.
    """
    wrong = {
        'missing': [key for key in own if key not in state],
        'unknown': [key for key in state if key not in own],
        'of another shape': [
            f'{key} {tuple(state[key].shape)} for {tuple(own[key].shape)}'
            for key in own
            if key in state and state[key].shape != own[key].shape
        ],
    }
    parts = [
        f'{len(names)} {what} (e.g. {", ".join(names[:3])})'
        for what, names in wrong.items()
        if names
    ]
    if parts:
        raise ValueError(
            f'"{where}" does not fit the model: {vocabulary_gap(state, own)}'
            f'weights {"; ".join(parts)}.'
        )


def vocabulary_gap(
    state: Mapping[str, Tensor], own: Mapping[str, Tensor]
) -> str:
    """Say that vocabularies differ, if they do.

    Args:
        state (Mapping[str, Tensor]): The weights.
        own (Mapping[str, Tensor]): State dict of the model.

    Returns:
        str: A clause that ends in "; ", empty if they agree.
    """
    for key in own:
        if key not in state or not _WORDS.search(key):
            continue
        theirs, ours = len(state[key]), len(own[key])
        if theirs != ours:
            return (
                f'the vocabulary has {theirs} words there and {ours} in the '
                'model, so they are not of one tokenizer (vocab_size); '
            )
    return ''
