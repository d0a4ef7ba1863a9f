"""Masking for masked language modelling."""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from mmtpr.registry import TRANSFORMS
from mmtpr.text.word_masking import hide_tokens


class MaskingTransform(BaseTransform):
    """Base of transforms that mask tokens for the model to restore.

    A sample without tokens passes unchanged.

    Required Keys: none

    Added Keys: ``mlm_tokens`` and ``mlm_labels``, LongTensors of the shape
    of the tokens; labels are the true ids where masked, else -100

    Args:
        source (str): Key to read.
    """

    def __init__(self, source: str) -> None:
        self.source = source

    @abstractmethod
    def mask(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mask tokens.

        Args:
            tokens (ndarray): Token ids of shape (L, ).

        Returns:
            tuple[ndarray, ndarray]: Masked tokens and labels, (L, ).
        """

    def transform(self, results: dict) -> dict:
        """Mask the tokens.

        Args:
            results (dict): A sample.

        Returns:
            dict: The sample.
        """
        if results.get(self.source) is None:
            return results
        tokens = np.asarray(results[self.source], dtype=np.int64)
        masked, labels = self.mask(tokens)
        results['mlm_tokens'] = torch.from_numpy(masked)
        results['mlm_labels'] = torch.from_numpy(labels)
        return results


@TRANSFORMS.register_module()
class MaskTokens(MaskingTransform):
    """Mask tokens for the model to restore.

    Each ordinary token is chosen with probability ``prob``, at least
    ``min_masked`` of them; of the chosen, 80 % become the mask token, 10 %
    a random token and 10 % stay. Start, end, padding and mask tokens are
    never chosen. A sample without tokens passes unchanged.

    Required Keys: none

    Added Keys: ``mlm_tokens`` and ``mlm_labels``, LongTensors of the shape
    of the tokens; labels are the true ids where chosen, else -100

    Args:
        prob (float): Probability to choose a token. Defaults to 0.15.
        mask_id (int): Id of the mask token. Defaults to 49405, the last
            ordinary one of CLIP's vocabulary, which IRRA gives up for it.
        ordinary (tuple[int, int]): First and one past the last id of
            ordinary tokens, those chosen and those drawn at random. Defaults
            to (1, 49405).
        special_ids (Sequence[int]): Ids within ``ordinary`` that are special
            all the same, as 101 and 102 of BERT. Defaults to ().
        min_masked (int): Least number of tokens chosen, as far as there are
            ordinary ones. Defaults to 1.
        source (str): Key to read. Defaults to ``'tokens'``.

    Raises:
        ValueError: If ``prob`` or ``ordinary`` is impossible.
    """

    def __init__(
        self,
        prob: float = 0.15,
        mask_id: int = 49405,
        ordinary: tuple[int, int] = (1, 49405),
        special_ids: Sequence[int] = (),
        min_masked: int = 1,
        source: str = 'tokens',
    ) -> None:
        super().__init__(source)
        if not 0 < prob <= 1:
            raise ValueError(f'prob must be in (0, 1], got {prob}.')
        if not 0 <= ordinary[0] < ordinary[1]:
            raise ValueError(f'ordinary must be a range, got {ordinary}.')
        self.prob, self.mask_id = prob, mask_id
        self.ordinary = tuple(ordinary)
        special = {i for i in special_ids if ordinary[0] <= i < ordinary[1]}
        if ordinary[0] <= mask_id < ordinary[1]:
            special.add(mask_id)
        self.special_ids = np.array(sorted(special), dtype=np.int64)
        self.min_masked = min_masked

    def mask(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mask tokens. See :meth:`MaskingTransform.mask`.

        Args:
            tokens (ndarray): Token ids of shape (L, ).

        Returns:
            tuple[ndarray, ndarray]: Masked tokens and labels, (L, ).
        """
        chosen = self._choose(tokens)
        return hide_tokens(tokens, chosen, self.mask_id, self._draw)

    def _choose(self, tokens: np.ndarray) -> np.ndarray:
        """Positions to predict."""
        low, high = self.ordinary
        ordinary = (tokens >= low) & (tokens < high)
        for special in self.special_ids:  # few: quicker than np.isin
            ordinary &= tokens != special
        places = np.flatnonzero(ordinary)
        dice = np.random.rand(len(places))
        number = max(int((dice < self.prob).sum()), self.min_masked)
        return np.sort(places[np.argsort(dice)[:number]])

    def _draw(self, number: int) -> np.ndarray:
        """Random ordinary tokens, the special ids skipped over."""
        low, high = self.ordinary
        drawn = np.random.randint(
            low, high - len(self.special_ids), number, dtype=np.int64
        )
        for special in self.special_ids:
            drawn[drawn >= special] += 1
        return drawn

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(prob={self.prob}, '
            f'mask_id={self.mask_id}, ordinary={self.ordinary})'
        )
