"""Captions to token ids."""

from typing import Any

import torch
from mmcv.transforms import BaseTransform
from torch import Tensor

from mmtpr.registry import TRANSFORMS
from mmtpr.text.bert_tokenizer import BertTokenizer
from mmtpr.text.clip_tokenizer import build_tokenizer


@TRANSFORMS.register_module()
class TokenizeCaption(BaseTransform):
    """Turn a caption into token ids with one of open_clip's tokenizers.

    A caption that is too long is cut; the end-of-text token stays last. A
    sample without caption passes unchanged. The vocabulary of CLIP comes
    with open_clip, so this works offline.

    Required Keys: none

    Added Keys: ``target``, a LongTensor of shape (context_length, ), and
    ``<source>_cut``, whether the caption was cut; of BERT also
    ``<target>_mask``, 1 where a token counts

    Args:
        tokenizer (str | dict, optional): Name of an open_clip model
            (``'ViT-B-16'``, ``'hf-hub:org/name'``, ``'local-dir:path'``), or
            arguments of a byte-pair tokenizer in CLIP's form
            (``dict(bpe_path='vocab.txt.gz')``), or
            ``dict(bert='vocab.txt')`` with arguments of
            :class:`mmtpr.text.bert_tokenizer.BertTokenizer`, which needs
            tokenizers, or ``dict(hf='roberta-base')`` with the name or folder
            of another Hugging Face tokenizer, which needs transformers.
            Defaults to None: mmtpr's tools put in that of the encoder;
            elsewhere it is CLIP's, that of ``'ViT-B-16'``.
        context_length (int, optional): Tokens, padding included. Defaults to
            None, what the named model takes, else 77, or 32 for BERT.
        source (str): Key to read. Defaults to ``'caption'``.
        target (str): Key to write. Defaults to ``'tokens'``.

    Raises:
        ValueError: If open_clip has no model of that name.
        FileNotFoundError: If the ``bpe_path`` does not exist.
        ImportError: If a Hugging Face tokenizer is asked for and
            transformers is not installed.
    """

    def __init__(
        self,
        tokenizer: str | dict | None = None,
        context_length: int | None = None,
        source: str = 'caption',
        target: str = 'tokens',
    ) -> None:
        tokenizer = tokenizer or 'ViT-B-16'
        built: Any = build_tokenizer(tokenizer, context_length)
        self.tokenizer = built
        self.name = tokenizer
        self.context_length = built.context_length
        self.padding = built([''])[0, -1]
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
        if isinstance(self.tokenizer, BertTokenizer):
            tokens, mask, is_cut = self.tokenizer.encode(caption)
            results[f'{self.target}_mask'] = mask
        else:
            tokens = self.tokenizer([caption])[0]
            is_cut = self._is_cut(caption, tokens)
        results[self.target] = tokens
        results[f'{self.source}_cut'] = is_cut
        return results

    def _is_cut(self, caption: str, tokens: Tensor) -> bool:
        """Check whether one more token changes what there is."""
        if tokens[-1] == self.padding:
            return False
        longer = self.tokenizer([caption], self.context_length + 1)[0]
        whole = torch.cat([tokens, self.padding[None]])
        return not torch.equal(longer, whole)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(tokenizer={self.name!r}, '
            f'context_length={self.context_length})'
        )
