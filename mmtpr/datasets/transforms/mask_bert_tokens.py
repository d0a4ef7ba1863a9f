"""Masking of BERT's tokens for masked language modelling."""

import numpy as np

from mmtpr.registry import TRANSFORMS
from mmtpr.text.bert_tokenizer import build_bert_tokenizer
from mmtpr.text.word_masking import WordMasker

from .mask_tokens import MaskingTransform


@TRANSFORMS.register_module()
class MaskBertTokens(MaskingTransform):
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
        super().__init__(source)
        self.masker = WordMasker(
            build_bert_tokenizer(str(vocab), 512),
            prob,
            max_masked,
            skipgram_prob,
            skipgram_size,
            whole_word,
        )
        self.vocab = vocab

    def mask(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Hide words. See :meth:`MaskingTransform.mask`.

        Args:
            tokens (ndarray): Token ids of shape (L, ).

        Returns:
            tuple[ndarray, ndarray]: Masked tokens and labels, (L, ).
        """
        # The global state is what workers and resumed runs are seeded by.
        rng = np.random.default_rng(np.random.randint(2**31))
        return self.masker(tokens, rng)

    def __repr__(self) -> str:
        masker = self.masker
        return (
            f'{type(self).__name__}(vocab={self.vocab!r}, '
            f'prob={masker.prob}, max_masked={masker.max_masked})'
        )
