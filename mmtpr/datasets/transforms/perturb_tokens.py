"""Perturbation of the words that an encoder reads in training."""

from collections.abc import Sequence

import numpy as np
import torch

from mmtpr.registry import TRANSFORMS

from .mask_tokens import MaskTokens


@TRANSFORMS.register_module()
class PerturbTokens(MaskTokens):
    """Hide, change and drop tokens of a training caption, as RDE does.

    Each ordinary token is chosen with probability ``prob``. Of the chosen,
    60 % become the mask token, 20 % a random token, and 20 % are dropped:
    what follows moves up, and padding fills the end. Start, end and padding
    stay. A sample without tokens passes unchanged.

    Required Keys: none

    Modified Keys: ``tokens``, LongTensor of the same shape

    Args:
        prob (float): Probability to choose a token. Defaults to 0.2.
        mask_id (int): Id of the mask token. Defaults to 49405, as in
            :class:`MaskTokens`.
        ordinary (tuple[int, int]): First and one past the last id of
            ordinary tokens. Defaults to (1, 49405).
        special_ids (Sequence[int]): Ids within ``ordinary`` that are special
            all the same. Defaults to ().
        pad_id (int): Id of padding. Defaults to 0, CLIP's.
        source (str): Key to read and to write. Defaults to ``'tokens'``.

    Raises:
        ValueError: If ``prob`` or ``ordinary`` is impossible.
    """

    def __init__(
        self,
        prob: float = 0.2,
        mask_id: int = 49405,
        ordinary: tuple[int, int] = (1, 49405),
        special_ids: Sequence[int] = (),
        pad_id: int = 0,
        source: str = 'tokens',
    ) -> None:
        # A caption may stay whole.
        super().__init__(prob, mask_id, ordinary, special_ids, 0, source)
        self.pad_id = pad_id

    def transform(self, results: dict) -> dict:
        """Perturb the tokens.

        Args:
            results (dict): A sample.

        Returns:
            dict: The sample.
        """
        if results.get(self.source) is None:
            return results
        tokens = np.array(results[self.source], dtype=np.int64)  # (L,)
        chosen = self._choose(tokens)
        fate = np.random.rand(len(chosen))
        tokens[chosen[fate < 0.6]] = self.mask_id
        changed = chosen[(fate >= 0.6) & (fate < 0.8)]
        tokens[changed] = self._draw(len(changed))
        kept = np.delete(tokens, chosen[fate >= 0.8])
        tokens.fill(self.pad_id)
        tokens[: len(kept)] = kept
        results[self.source] = torch.from_numpy(tokens)
        return results
