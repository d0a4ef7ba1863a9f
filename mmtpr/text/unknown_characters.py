"""Characters for which a vocabulary has no token."""

from collections.abc import Callable
from typing import Any


def unknown_characters(tokenizer: Callable, text: str) -> list[str]:
    """Find the letters and digits of a text that a vocabulary lacks.

    Of byte-pair tokenizers those are the characters that have no token of
    their own and are spelled in bytes, of BERT's those that become
    ``[UNK]``. A text of many of them is in a language that the model was not
    trained on.

    Args:
        tokenizer (Callable): Of
            :func:`mmtpr.text.clip_tokenizer.build_tokenizer`.
        text (str): The text.

    Returns:
        list[str]: Each once, in the order of the text.
    """
    foreign = [c for c in dict.fromkeys(text) if not c.isascii()]
    letters = [c for c in foreign if c.isalnum()]
    if not letters:
        return []
    unknown, usual = _unknown_id(tokenizer), _tokens(tokenizer, 'a')
    found = []
    for letter in letters:
        tokens = _tokens(tokenizer, letter)
        if len(tokens) > len(usual) or unknown in tokens:
            found.append(letter)
    return found


def _tokens(tokenizer: Any, text: str) -> list[int]:
    """Token ids without the padding at the end."""
    ids = tokenizer([text])[0].tolist()
    padding = tokenizer([''])[0].tolist()[-1]
    while ids and ids[-1] == padding:
        ids.pop()
    return ids


def _unknown_id(tokenizer: Any) -> int | None:
    inner: Any = getattr(tokenizer, 'tokenizer', None)
    if hasattr(inner, 'token_to_id'):  # of BERT
        return inner.token_to_id('[UNK]')
    # Byte-pair tokenizers of the hub name their last token so.
    known = getattr(inner, 'unk_token_id', None)
    return None if known == getattr(inner, 'eos_token_id', None) else known
