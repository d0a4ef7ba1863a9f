"""Tokenizers of one file, which need neither open_clip nor transformers."""

import html
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ftfy
import torch
from torch import Tensor

from mmtpr.utils.lazy import require

#: The extra that brings the library tokenizers to those who run exports.
EXTRA = 'onnx'
_PURPOSE = 'A tokenizer of one file (tokenizer.json)'


class FileTokenizer:
    """Captions to token ids by a ``tokenizer.json``.

    A caption that is too long is cut, its last token stays last, as
    open_clip's tokenizers do.

    Args:
        json (str): The file, in the form of the library tokenizers.
        context_length (int): Tokens, padding included. Defaults to 77.
        clean (str): What is done to a caption before, by open_clip's names:
            ``'lower'``, ``'whitespace'``, ``'canonicalize'``. Defaults to
            ``'lower'``.
        pad_id (int): Token id of padding. Defaults to 0.

    Raises:
        FileNotFoundError: If the file does not exist.
        ImportError: If tokenizers is not installed.
        ValueError: If the file is no tokenizer, or ``clean`` is unknown.
    """

    def __init__(
        self,
        json: str,
        context_length: int = 77,
        clean: str = 'lower',
        pad_id: int = 0,
    ) -> None:
        tokenizers = require('tokenizers', EXTRA, _PURPOSE)
        if not Path(json).is_file():
            raise FileNotFoundError(f'The vocabulary "{json}" does not exist.')
        if clean not in _CLEAN:
            raise ValueError(
                f'clean must be one of {", ".join(_CLEAN)}, got {clean!r}.'
            )
        try:
            built = tokenizers.Tokenizer.from_file(json)
        except Exception as error:  # the library has one class for all
            raise ValueError(
                f'The vocabulary "{json}" is no tokenizer.json: {error}.'
            ) from error
        built.no_truncation()
        built.no_padding()
        self.tokenizer = built
        self.vocab_size = built.get_vocab_size()
        self.context_length = context_length
        self.clean = clean
        self.pad_id = pad_id

    def __call__(
        self, captions: Sequence[str], context_length: int | None = None
    ) -> Tensor:
        """Tokenize captions.

        Args:
            captions (Sequence[str]): K captions.
            context_length (int, optional): Tokens L. Defaults to None, that
                of the tokenizer.

        Returns:
            Tensor: Token ids of shape (K, L), long.
        """
        length = context_length or self.context_length
        cleaned = [_CLEAN[self.clean](caption) for caption in captions]
        tokens = torch.full((len(cleaned), length), self.pad_id)  # (K, L)
        for row, found in enumerate(self.tokenizer.encode_batch(cleaned)):
            ids = found.ids
            if len(ids) > length:
                ids = [*ids[: length - 1], ids[-1]]
            tokens[row, : len(ids)] = torch.tensor(ids)
        return tokens


def _mended(caption: str) -> str:
    caption = ftfy.fix_text(caption)
    return html.unescape(html.unescape(caption)).strip()


def _whitespace(caption: str) -> str:
    return ' '.join(_mended(caption).split())


def _lower(caption: str) -> str:
    return _whitespace(caption).lower()


def _canonicalize(caption: str) -> str:
    without: Any = str.maketrans('', '', string.punctuation)
    words = _mended(caption).replace('_', ' ').translate(without).lower()
    return ' '.join(words.split())


_CLEAN = dict(lower=_lower, whitespace=_whitespace, canonicalize=_canonicalize)
