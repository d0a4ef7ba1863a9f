"""Tokenizers of BERT, from the hub or from files."""

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmtpr.utils.lazy import require

_PURPOSE = 'A tokenizer of BERT (mmtpr.TokenizeBert)'
_SPECIAL = ('[PAD]', '[UNK]', '[CLS]', '[SEP]')


class BertTokenizer:
    """Captions to token ids of BERT: ``[CLS] words [SEP] [PAD] ...``.

    A caption that is too long is cut, the [SEP] stays last.

    Args:
        bert (str): The vocabulary, see :func:`build_bert_tokenizer`.
        context_length (int): Tokens, padding included. Defaults to 32, which
            BLIP-2 was trained with.
        clean (bool): Whether to clean as :func:`clean_blip_caption`. Defaults
            to True.
        max_words (int): Words to keep when cleaning. Defaults to 50.
    """

    def __init__(
        self,
        bert: str,
        context_length: int = 32,
        clean: bool = True,
        max_words: int = 50,
    ) -> None:
        self.tokenizer = build_bert_tokenizer(bert, context_length)
        self.context_length = context_length
        self.clean = clean
        self.max_words = max_words

    def encode(self, caption: str) -> tuple[Tensor, Tensor, bool]:
        """Tokenize a caption.

        Args:
            caption (str): The caption.

        Returns:
            tuple[Tensor, Tensor, bool]: Token ids and their mask, 1 where a
            token counts, of shape (context_length, ), and whether the caption
            was cut.
        """
        cut = False
        if self.clean:
            words = clean_blip_caption(caption, None).split()
            cut = len(words) > self.max_words
            caption = ' '.join(words[: self.max_words])
        encoded = self.tokenizer.encode(caption)
        cut = cut or bool(encoded.overflowing)
        mask = torch.tensor(encoded.attention_mask)
        return torch.tensor(encoded.ids), mask, cut

    def __call__(self, captions: Sequence[str]) -> Tensor:
        """Tokenize captions.

        Args:
            captions (Sequence[str]): K captions.

        Returns:
            Tensor: Token ids of shape (K, context_length).
        """
        return torch.stack([self.encode(caption)[0] for caption in captions])


def clean_blip_caption(caption: str, max_words: int | None = 50) -> str:
    """Clean a caption as BLIP-2's training did.

    Args:
        caption (str): The caption.
        max_words (int, optional): Words to keep, None for all. Defaults to
            50.

    Returns:
        str: Lower case, single spaces, without ``.!"()*#:;~``.
    """
    words = re.sub(r'[.!"()*#:;~]', ' ', caption.lower()).split()
    return ' '.join(words[:max_words])


@lru_cache(maxsize=8)
def build_bert_tokenizer(vocab: str, max_length: int) -> Any:
    """Build a tokenizer, shared between equal requests.

    Args:
        vocab (str): A vocabulary with one word a line (``vocab.txt``), a
            ``tokenizer.json``, a folder that holds one of them, or a name of
            the hub.
        max_length (int): Tokens, padding included.

    Returns:
        tokenizers.Tokenizer: With padding to and truncation at the length.

    Raises:
        ImportError: If tokenizers is not installed.
        FileNotFoundError: If the vocabulary is a path that does not exist.
        ValueError: If it is not one of BERT, or cannot be downloaded.
    """
    tokenizers = require('tokenizers', 'blip2', _PURPOSE)
    path = Path(vocab)
    if path.is_dir():
        files = [path / 'tokenizer.json', path / 'vocab.txt']
        path = next((file for file in files if file.is_file()), files[1])
    if path.suffix in ('.txt', '.json') and not path.is_file():
        raise FileNotFoundError(f'The vocabulary "{path}" does not exist.')
    if not path.is_file():
        tokenizer = _from_hub(tokenizers, vocab)
    elif path.suffix == '.json':
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
    else:
        tokenizer = _from_words(tokenizers, path)
    absent = [w for w in _SPECIAL if tokenizer.token_to_id(w) is None]
    if absent or tokenizer.token_to_id('[PAD]') != 0:
        raise ValueError(
            f'The vocabulary "{vocab}" is not one of BERT: '
            f'{"no " + ", ".join(absent) if absent else "[PAD] is not 0"}.'
        )
    tokenizer.enable_truncation(max_length)
    tokenizer.enable_padding(pad_id=0, pad_token='[PAD]', length=max_length)
    return tokenizer


def _from_words(tokenizers: Any, path: Path) -> Any:
    words = path.read_text(encoding='utf-8').split('\n')
    vocab = {word: i for i, word in enumerate(words) if word}
    if any(word not in vocab for word in _SPECIAL):
        raise ValueError(
            f'The vocabulary "{path}" is not one of BERT: it lacks some of '
            f'{", ".join(_SPECIAL)}. It has one word a line.'
        )
    built = tokenizers.BertWordPieceTokenizer(vocab, lowercase=True)
    return tokenizers.Tokenizer.from_str(built.to_str())


def _from_hub(tokenizers: Any, name: str) -> Any:
    try:
        return tokenizers.Tokenizer.from_pretrained(name)
    except Exception as error:
        reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise ValueError(
            f'The vocabulary "{name}" is neither a file nor in the cache nor '
            f'can it be downloaded ({reason[0]}). Two ways: run once with '
            'network access, or set vocab to a local vocab.txt.'
        ) from error
