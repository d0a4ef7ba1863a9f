"""Captions to token ids."""

from typing import Any

import torch
from mmcv.transforms import BaseTransform
from torch import Tensor

from mmtpr.registry import TRANSFORMS
from mmtpr.text.bert_tokenizer import BertTokenizer
from mmtpr.text.clip_tokenizer import build_tokenizer
from mmtpr.text.kept_tokens import KeptTokens, Tokenized, vocabulary_size


@TRANSFORMS.register_module()
class TokenizeCaption(BaseTransform):
    """Turn a caption into token ids with one of open_clip's tokenizers.

    A caption that is too long is cut; the end-of-text token stays last. A
    sample without caption passes unchanged. The vocabulary of CLIP comes
    with open_clip, so this works offline.

    Beside the caption it reads what a query does not want, ``negative_text``,
    into ``negative_tokens``.

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
        keep (bool): Whether each caption is tokenized once and its ids are
            kept, where a dataset of mmtpr reads it: 165 bytes a sample of
            CLIP's 77 tokens, 123 of 56 of BERT, shared by the workers of a
            data loader. A caption that was changed meanwhile is tokenized
            anew. Set it to False where captions change all the time. Defaults
            to True.

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
        keep: bool = True,
    ) -> None:
        tokenizer = tokenizer or 'ViT-B-16'
        built: Any = build_tokenizer(tokenizer, context_length)
        self.tokenizer = built
        self.name = tokenizer
        self.context_length = built.context_length
        self.padding = built([''])[0, -1]
        self.source = source
        self.target = target
        self.keep = keep
        self._kept: KeptTokens | None = None
        self._kept_of: Any = None  # the tokenizer whose ids are kept

    def reserve(self, num_samples: int) -> None:
        """Make room for the token ids of a dataset.

        Has to come before the workers of a data loader start, which share it.

        Args:
            num_samples (int): Samples of the dataset.
        """
        # Of these tokenizers of open_clip some draw the words they leave out.
        drawn = getattr(self.tokenizer, 'reduction_fn', None) is not None
        self._kept = None
        if self.keep and num_samples and not drawn:
            self._kept = KeptTokens(
                num_samples,
                self.context_length,
                vocabulary_size(self.tokenizer),
            )
        self._kept_of = self.tokenizer

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
        found = self._find(results.get('sample_idx'), caption)
        results[self.target] = found.tokens
        results[f'{self.source}_cut'] = found.is_cut
        negative = results.get('negative_text')
        if self.source == 'caption' and negative is not None:
            unwanted = self._tokenize(negative)
            results['negative_tokens'] = unwanted.tokens
            results['negative_text_cut'] = unwanted.is_cut
        if isinstance(self.tokenizer, BertTokenizer):
            mask = torch.zeros_like(found.tokens)  # (L,)
            mask[: found.num_tokens] = 1
            results[f'{self.target}_mask'] = mask
        return results

    def _find(self, index: int | None, caption: str) -> Tokenized:
        """Look a caption up, or tokenize it and keep what comes."""
        if self._kept is None or index is None:
            return self._tokenize(caption)
        if self._kept_of is not self.tokenizer:  # another one was put in
            self.reserve(self._kept.num_samples)
            return self._find(index, caption)
        found = self._kept.find(index, caption)
        if found is None:
            found = self._tokenize(caption)
            self._kept.keep(index, caption, found)
        return found

    def _tokenize(self, caption: str) -> Tokenized:
        if isinstance(self.tokenizer, BertTokenizer):
            tokens, mask, is_cut = self.tokenizer.encode(caption)
            return Tokenized(tokens, int(mask.sum()), is_cut)
        tokens = self.tokenizer([caption])[0]
        return Tokenized(tokens, 0, self._is_cut(caption, tokens))

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
