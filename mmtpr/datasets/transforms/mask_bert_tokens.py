"""Masking of BERT's tokens for masked language modelling."""

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from mmtpr.registry import TRANSFORMS
from mmtpr.text.bert_tokenizer import build_bert_tokenizer
from mmtpr.text.word_masking import WordMasker


@TRANSFORMS.register_module()
class MaskBertTokens(BaseTransform):
    """Hide words and short runs of words for the model to restore.

    See :class:`mmtpr.text.word_masking.WordMasker`; comes after
    :class:`TokenizeBert`. A sample without tokens passes unchanged.

    Required Keys: none

    Added Keys: ``mlm_tokens`` and ``mlm_labels``, LongTensors of the shape of
    the tokens; labels are the true ids where hidden, else -100

    Args:
        vocab (str): As of :class:`TokenizeBert`.
        prob (float): Share of the tokens to hide. Defaults to 0.25.
        max_masked (int): Most tokens to hide. Defaults to 10.
        skipgram_prob (float): Probability of a run. Defaults to 0.2.
        skipgram_size (int): Longest run. Defaults to 3.
        whole_word (bool): Whether words go as a whole. Defaults to True.
        source (str): Key to read. Defaults to ``'tokens'``.

    Raises:
        ValueError: If a number is out of range.
    """

    def __init__(
        self,
        vocab: str = 'bert-base-uncased',
        prob: float = 0.25,
        max_masked: int = 10,
        skipgram_prob: float = 0.2,
        skipgram_size: int = 3,
        whole_word: bool = True,
        source: str = 'tokens',
    ) -> None:
        self.masker = WordMasker(
            build_bert_tokenizer(str(vocab), 512),
            prob,
            max_masked,
            skipgram_prob,
            skipgram_size,
            whole_word,
        )
        self.vocab = vocab
        self.source = source

    def transform(self, results: dict) -> dict:
        """Hide words.

        Args:
            results (dict): A sample.

        Returns:
            dict: The sample.
        """
        if results.get(self.source) is None:
            return results
        tokens = np.asarray(results[self.source], dtype=np.int64)
        # The global state is what workers and resumed runs are seeded by.
        rng = np.random.default_rng(np.random.randint(2**31))
        masked, labels = self.masker(tokens, rng)
        results['mlm_tokens'] = torch.from_numpy(masked)
        results['mlm_labels'] = torch.from_numpy(labels)
        return results

    def __repr__(self) -> str:
        masker = self.masker
        return (
            f'{type(self).__name__}(vocab={self.vocab!r}, '
            f'prob={masker.prob}, max_masked={masker.max_masked})'
        )
