"""Captions to token ids of BERT."""

import re

import torch
from mmcv.transforms import BaseTransform

from mmtpr.registry import TRANSFORMS
from mmtpr.text.bert_tokenizer import build_bert_tokenizer


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
