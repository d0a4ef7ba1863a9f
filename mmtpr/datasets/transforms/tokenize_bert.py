"""Captions to token ids of BERT."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from mmcv.transforms import BaseTransform

from mmtpr.registry import TRANSFORMS
from mmtpr.utils import require

_PURPOSE = 'mmtpr.TokenizeBert'
_SPECIAL = ('[PAD]', '[UNK]', '[CLS]', '[SEP]')


@TRANSFORMS.register_module()
class TokenizeBert(BaseTransform):
    """Turn a caption into token ids of BERT, as BLIP-2 reads them.

    ``[CLS] words [SEP] [PAD] ...``; a caption that is too long is cut, the
    [SEP] stays last. A sample without caption passes unchanged. Needs the
    library tokenizers, which the extra ``[blip2]`` brings.

    Required Keys: none

    Added Keys: ``target``, a LongTensor of shape (max_length, ),
    ``<target>_mask``, 1 where a token counts, and ``<source>_cut``, whether
    the caption was cut

    Args:
        vocab (str): A vocabulary with one word a line (``vocab.txt``), a
            ``tokenizer.json``, a folder that holds one of them, or a name of
            the hub. Defaults to ``'bert-base-uncased'``, from the hub.
        max_length (int): Tokens, padding included. Defaults to 32, which
            BLIP-2 was trained with.
        clean (bool): Whether to lower-case and to take out ``.!"()*#:;~``,
            as BLIP-2's training did. Defaults to True.
        max_words (int): Words to keep when cleaning. Defaults to 50.
        source (str): Key to read. Defaults to ``'caption'``.
        target (str): Key to write. Defaults to ``'tokens'``.

    Raises:
        ImportError: If tokenizers is not installed.
        FileNotFoundError: If the vocabulary is a path that does not exist.
        ValueError: If it is not one of BERT, or cannot be downloaded.
    """

    def __init__(
        self,
        vocab: str = 'bert-base-uncased',
        max_length: int = 32,
        clean: bool = True,
        max_words: int = 50,
        source: str = 'caption',
        target: str = 'tokens',
    ) -> None:
        if max_length < 3:
            raise ValueError(
                f'max_length={max_length} leaves no room for a word between '
                '[CLS] and [SEP].'
            )
        self.tokenizer = build_bert_tokenizer(str(vocab), max_length)
        self.vocab = vocab
        self.max_length = max_length
        self.clean = clean
        self.max_words = max_words
        self.source = source
        self.target = target

    def transform(self, results: dict) -> dict:
        """Tokenize the caption.

        Args:
            results (dict): A sample.

        Returns:
            dict: The sample.
        """
        caption = results.get(self.source)
        if caption is None:
            return results
        cut = False
        if self.clean:
            words = clean_blip_caption(caption, None).split()
            cut = len(words) > self.max_words
            caption = ' '.join(words[: self.max_words])
        encoded = self.tokenizer.encode(caption)
        cut = cut or bool(encoded.overflowing)
        results[f'{self.source}_cut'] = cut
        results[self.target] = torch.tensor(encoded.ids)
        results[f'{self.target}_mask'] = torch.tensor(encoded.attention_mask)
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(vocab={self.vocab!r}, '
            f'max_length={self.max_length}, clean={self.clean})'
        )


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
        vocab (str): See :class:`TokenizeBert`.
        max_length (int): Tokens, padding included.

    Returns:
        tokenizers.Tokenizer: With padding to and truncation at the length.

    Raises:
        ImportError, FileNotFoundError, ValueError: See
            :class:`TokenizeBert`.
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
