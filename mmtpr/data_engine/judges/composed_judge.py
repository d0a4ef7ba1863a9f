"""Pairs judged by a composed retriever: does the sentence lead there?"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from mmtpr.apis.embedding import image_entries
from mmtpr.apis.queries import sample_of
from mmtpr.registry import SYNTHESIS

from .base import JudgeRequest, PairJudge, Sample, Verdict
from .loaded_model import JudgingModel


@SYNTHESIS.register_module()
class ComposedJudge(PairJudge):
    """Whether reference and sentence find the target, in both directions.

    Fields: ``forth``: cosine of the query (reference, edit) with the target;
    ``back``: likewise (target, reverse edit) with the reference; ``gain``:
    how much nearer the queries are to where they should lead than to where
    they come from, summed over both; ``rank``, from 0 to 1: the share of
    target images of other records that are farther from the query.

    A retriever that was trained on all pairs of a run can judge the same run:
    what most pairs teach, the faulty ones do not follow.

    Args:
        config (str): Config of a composed retriever.
        checkpoint (str, optional): Its weights. Defaults to None: what the
            config loads.
        num_others (int): Images of other records. Defaults to 512.
        **kwargs: Of :class:`JudgingModel`: ``device``, ``batch_size``,
            ``num_workers``.
    """

    worst = dict(forth=-1.0, back=-1.0, gain=-4.0, rank=0.0)
    in_batches = True

    def __init__(
        self,
        config: str,
        checkpoint: str | None = None,
        num_others: int = 512,
        **kwargs: Any,
    ) -> None:
        self.model = JudgingModel(config, checkpoint, composed=True, **kwargs)
        self.num_others = num_others
        self._others = torch.zeros(0, 1, 1)

    def settings(self) -> dict[str, Any]:
        """See :meth:`PairJudge.settings`."""
        return dict(
            judge='ComposedJudge',
            model=self.model.settings(),
            num_others=self.num_others,
        )

    def prepare(self, sample: Sample) -> None:
        """See :meth:`PairJudge.prepare`."""
        others = sample(self.num_others)
        self._others = self._images([one.target for one in others])

    def judge(
        self, requests: Sequence[JudgeRequest]
    ) -> Iterator[tuple[JudgeRequest, Verdict]]:
        """See :meth:`PairJudge.judge`."""
        if not requests:
            return
        references = self._images([one.reference for one in requests])
        targets = self._images([one.target for one in requests])
        forth = self._queries(requests, 'reference', 'edit')  # (N, D)
        back = self._queries(requests, 'target', 'reverse_edit')
        there, home = (
            self._cosines(forth, targets),
            self._cosines(back, references),
        )
        gain = there - self._cosines(forth, references)
        gain += home - self._cosines(back, targets)
        others = torch.einsum('nd,ktd->nkt', forth, self._others)
        others = self._mean(others)  # (N, K)
        rank = (others < there[:, None]).float().mean(1)
        for row, request in enumerate(requests):
            scores = dict(
                forth=float(there[row]),
                back=float(home[row]),
                gain=float(gain[row]),
                rank=float(rank[row]),
            )
            yield request, Verdict(scores)

    def _images(self, paths: Sequence[Any]) -> Tensor:
        feats = self.model.predict(image_entries([str(p) for p in paths]))
        return feats[:, None] if feats.dim() == 2 else feats  # (N, T, D)

    def _queries(
        self, requests: Sequence[JudgeRequest], side: str, text: str
    ) -> Tensor:
        entries = [
            sample_of(
                dict(img_path=str(getattr(one, side)), caption=one.texts[text])
            )
            for one in requests
        ]
        return self.model.predict(entries)

    def _cosines(self, queries: Tensor, tokens: Tensor) -> Tensor:
        return self._mean(torch.einsum('nd,ntd->nt', queries, tokens))

    def _mean(self, cosines: Tensor) -> Tensor:
        """Mean of the largest over the tokens, (..., T) -> (...)."""
        number = min(self.model.loaded.topk_tokens, cosines.size(-1))
        return cosines.topk(number, -1).values.mean(-1)
