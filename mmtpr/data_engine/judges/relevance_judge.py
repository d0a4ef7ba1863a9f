"""Pairs judged by how well their images fit their captions."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from mmtpr.filtering import relevance_rank, sample_bank
from mmtpr.filtering.bank import own_indices
from mmtpr.filtering.setup import load_bank_captions
from mmtpr.registry import SYNTHESIS
from mmtpr.utils.fingerprint import text_fingerprint

from .base import JudgeRequest, PairJudge, Sample, Verdict
from .loaded_model import JudgingModel

_SENTENCES = 512


@SYNTHESIS.register_module()
class RelevanceJudge(PairJudge):
    """The measure of Filtering-WoRA, of both images, by a text retriever.

    Fields, each from 0 to 1: ``reference`` and ``target``: the share of a
    bank's captions that fit the image less than its own does (1: rank 1);
    ``both``: the smaller of these; ``change``: how much better the sentence
    fits the target than the reference, as the share of the sentences of other
    records of which that is less true.

    Args:
        config (str): Config of the retriever.
        checkpoint (str, optional): Its weights. Defaults to None: what the
            config loads.
        bank (str, optional): ``.json``, ``.txt`` or config whose captions
            are the bank. Defaults to None: captions of the run.
        bank_size (int): Captions of the bank; fewer if there are fewer.
            Defaults to 2,000.
        seed (int): Of the draw of the bank. Defaults to 0.
        **kwargs: Of :class:`JudgingModel`: ``device``, ``batch_size``,
            ``num_workers``.
    """

    worst = dict.fromkeys(('reference', 'target', 'both', 'change'), 0.0)
    in_batches = True

    def __init__(
        self,
        config: str,
        checkpoint: str | None = None,
        bank: str | None = None,
        bank_size: int = 2000,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        self.model = JudgingModel(config, checkpoint, **kwargs)
        self.bank, self.bank_size, self.seed = bank, bank_size, seed
        self._texts: list[str] = []
        self._feats = self._sentences = torch.zeros(0, 0)

    def settings(self) -> dict[str, Any]:
        """See :meth:`PairJudge.settings`."""
        content = self.bank and text_fingerprint(self._bank_captions)
        return dict(
            judge='RelevanceJudge',
            model=self.model.settings(),
            bank=self.bank,
            bank_content=content,
            bank_size=self.bank_size,
            seed=self.seed,
        )

    def prepare(self, sample: Sample) -> None:
        """See :meth:`PairJudge.prepare`."""
        others = sample(max(_SENTENCES, -(-self.bank_size // 2)))
        if self.bank is None:
            names = ('reference_caption', 'target_caption')
            captions = sorted({one.texts[n] for one in others for n in names})
        else:
            captions = self._bank_captions
        self._texts = sample_bank(
            captions, self.bank_size, self.seed, allow_smaller=True
        )
        self._feats = self.model.captions(self._texts)
        sentences = sorted({one.texts['edit'] for one in others})
        self._sentences = self.model.captions(sentences[:_SENTENCES])

    @cached_property
    def _bank_captions(self) -> list[str]:
        return load_bank_captions(str(self.bank))

    def judge(
        self, requests: Sequence[JudgeRequest]
    ) -> Iterator[tuple[JudgeRequest, Verdict]]:
        """See :meth:`PairJudge.judge`."""
        if not requests:
            return
        images = {
            side: self.model.images([getattr(one, side) for one in requests])
            for side in ('reference', 'target')
        }
        found = {
            side: self._relevance(
                tokens, [one.texts[f'{side}_caption'] for one in requests]
            )
            for side, tokens in images.items()
        }
        found['both'] = torch.minimum(found['reference'], found['target'])
        edits = self.model.captions([one.texts['edit'] for one in requests])
        found['change'] = change_share(
            images['reference'], images['target'], edits, self._sentences
        )
        for row, request in enumerate(requests):
            scores = {name: float(all_[row]) for name, all_ in found.items()}
            yield request, Verdict(scores)

    def _relevance(self, tokens: Tensor, captions: list[str]) -> Tensor:
        ranks = relevance_rank(
            tokens,
            self.model.captions(captions),
            self._feats,
            own_index=own_indices(captions, self._texts),
        )  # (N, )
        return 1 - (ranks - 1) / len(self._texts)


def change_share(
    reference: Tensor, target: Tensor, edits: Tensor, others: Tensor
) -> Tensor:
    """Compare how a sentence gains from reference to target with others.

    Args:
        reference (Tensor): Tokens of the reference images, (N, T, D).
        target (Tensor): Tokens of the target images, (N, T, D).
        edits (Tensor): The sentences, (N, D).
        others (Tensor): Sentences of other records, (K, D).

    Returns:
        Tensor: Share of the others that gain less, (N, ), from 0 to 1.
    """

    def own(tokens: Tensor) -> Tensor:
        return torch.einsum('ntd,nd->nt', tokens, edits).amax(1)  # (N, )

    def of_others(tokens: Tensor) -> Tensor:
        return (tokens @ others.T).amax(1)  # (N, T, K) -> (N, K)

    gain = own(target) - own(reference)
    gains = of_others(target) - of_others(reference)
    return (gains < gain[:, None]).float().mean(1)
