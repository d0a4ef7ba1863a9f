"""Evaluation with a cross encoder's second look at the best candidates."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmengine.dist import (
    all_reduce,
    broadcast,
    get_dist_info,
    is_main_process,
)
from mmengine.logging import print_log
from mmengine.runner import TestLoop, ValLoop
from torch import Tensor

from mmtpr.evaluation.metrics import RerankedRetrievalMetric
from mmtpr.evaluation.reranking.fused_scores import top_candidates
from mmtpr.evaluation.reranking.pair_scorer import PairScorer
from mmtpr.registry import LOOPS
from mmtpr.structures import RetrievalDataSample
from mmtpr.utils.deprecation import renamed_argument

from .candidates import ScatteredItems, TestSet, gather_test_set
from .staged import StagedLoop, text_mask


class _RerankLoop(StagedLoop):
    """Takes features, then matching scores, then ranks.

    Args:
        runner (Runner): The runner.
        dataloader (DataLoader | dict): Queries and gallery in one dataset.
        evaluator (Evaluator | dict | list): With a
            :class:`RerankedRetrievalMetric`.
        fp16 (bool): Whether to run under autocast. Defaults to False.
        num_candidates (int): Candidates of each query. Defaults to 128.
        query_block (int): See :class:`PairScorer`. Defaults to 8192.
        gallery_block (int): See :class:`PairScorer`. Defaults to 512.
        pair_batch (int): See :class:`PairScorer`. Defaults to 128.
        text_batch (int): See :class:`PairScorer`. Defaults to 256.
        topk (int, optional): Former name of ``num_candidates``.
    """

    def __init__(
        self,
        runner,
        dataloader,
        evaluator,
        fp16: bool = False,
        num_candidates: int = 128,
        query_block: int = 8192,
        gallery_block: int = 512,
        pair_batch: int = 128,
        text_batch: int = 256,
        topk: int | None = None,
    ) -> None:
        # Of mmengine's loop, which the subclass mixes in.
        super().__init__(  # type: ignore[call-arg]
            runner, dataloader, evaluator, fp16
        )
        num_candidates = renamed_argument(
            type(self).__name__, 'topk', 'num_candidates', topk, num_candidates
        )
        if num_candidates < 1:
            raise ValueError(
                f'num_candidates must be at least 1, got {num_candidates}.'
            )
        self.num_candidates = num_candidates
        self.scorer = PairScorer(
            self.model, query_block, gallery_block, pair_batch, text_batch
        )
        metrics = self.evaluator.metrics
        if not any(isinstance(m, RerankedRetrievalMetric) for m in metrics):
            names = ', '.join(type(metric).__name__ for metric in metrics)
            raise ValueError(
                f'{type(self).__name__} computes scores that only '
                f'mmtpr.RerankedRetrievalMetric uses; the evaluator has '
                f'{names}.'
            )
        self._clear()

    def _clear(self) -> None:
        self._samples: list[RetrievalDataSample] = []
        # By number of the sample: image tokens; tokens and mask.
        self._images: dict[int, Tensor] = {}
        self._captions: dict[int, tuple[Tensor, Tensor]] = {}

    def run(self) -> dict[str, float]:
        """Evaluate.

        Returns:
            dict[str, float]: The numbers of the evaluator.
        """
        try:
            return super().run()
        finally:
            self._clear()

    def encode(
        self,
        inputs: dict[str, Tensor],
        samples: Sequence[RetrievalDataSample],
    ) -> list[RetrievalDataSample]:
        """Put features on samples; keep image tokens and captions.

        Args:
            inputs (dict): From the data preprocessor.
            samples (Sequence[RetrievalDataSample]): Queries with tokens,
                gallery items with images.

        Returns:
            list[RetrievalDataSample]: The samples.

        Raises:
            ValueError: If a query has no tokens or an item no image.
        """
        start = len(self._samples)
        if 'image' in inputs:
            features, embeds = self.model.encode_image(inputs['image'])
            pair = (features.float().cpu(), embeds.cpu())
            for i, *own in _rows(inputs['image_index'], *pair):
                if samples[i].role != 'query':
                    samples[i].features = own[0][None]
                    self._images[start + i] = own[1]
        if 'tokens' in inputs:
            tokens, mask = inputs['tokens'], text_mask(self.model, inputs)
            features, _ = self.model.encode_text(tokens, mask)
            values = (features.float().cpu(), tokens.cpu(), mask.cpu())
            for i, *own in _rows(inputs['tokens_index'], *values):
                if samples[i].role == 'query':
                    samples[i].features = own[0]
                    self._captions[start + i] = (own[1], own[2])
        for sample in samples:
            if 'features' not in sample:
                raise ValueError(_nothing_message(sample))
        self._samples.extend(samples)
        return list(samples)

    def finish(self) -> None:
        """Score the candidates and hand all samples to the evaluator."""
        begin = time.perf_counter()
        known = self._gather()
        index = self._candidates(known)
        gallery: Any = ScatteredItems(self._images, known.gallery_owners)
        scores = self.scorer(
            gallery,
            known.tokens,
            known.mask,
            index,
            share=get_dist_info(),
        )
        # Each pair is scored by one process and 0 in the others.
        all_reduce(scores)
        print_log(
            f'Re-ranked the best {index.shape[1]} of {len(known.gallery)} '
            f'items for {len(index)} queries in '
            f'{time.perf_counter() - begin:.1f} s.',
            logger='current',
        )
        pairs = zip(self._samples, known.query_rows, strict=True)
        for sample, row in pairs:
            if row >= 0:
                sample.rerank_index = index[row].int()
                sample.rerank_score = scores[row]
        self.evaluator.process(data_samples=self._samples, data_batch=None)

    def _candidates(self, known: TestSet) -> Tensor:
        """Candidates of all queries, (Q, k), found by the first process.

        The batches of pairs follow from them, so all must have the same.
        """
        size = min(self.num_candidates, len(known.gallery))
        index = torch.empty(len(known.query), size, dtype=torch.long)
        if is_main_process():
            index = top_candidates(known.query, known.gallery, size)
        broadcast(index)
        return index

    def _gather(self) -> TestSet:
        return gather_test_set(
            len(self.dataloader.dataset),
            [sample.get('sample_idx') for sample in self._samples],
            [sample.features.view(-1) for sample in self._samples],
            self._captions,
        )


@LOOPS.register_module()
class RerankTestLoop(_RerankLoop, TestLoop):
    """Test with re-ranking of the best candidates by matching scores.

    The model needs ``encode_image(images) -> (features, tokens)``,
    ``encode_text(tokens, mask) -> (features, states)``,
    ``image_keys_values`` and ``itm_scores`` (see :class:`PairScorer`).
    Queries and gallery come through one data loader, split over processes by
    the sampler. Each process keeps the tokens of its own images, on the CPU;
    features and captions are exchanged at once, tokens a block at a time, and
    the batches of pairs are dealt to the processes. With
    ``batch_sampler=dict(type='mmtpr.WholeBatchSampler')`` in the data loader,
    scores are the same to the bit for any number of processes, else up to
    rounding.

    Args:
        runner (Runner): The runner.
        dataloader (DataLoader | dict): Queries and gallery in one dataset.
        evaluator (Evaluator | dict | list): With a
            :class:`RerankedRetrievalMetric`, which has the fusion rule.
        fp16 (bool): Whether to run under autocast. Defaults to False.
        num_candidates (int): Candidates of each query. Defaults to 128, as
            published.
        query_block (int): Captions whose states are held on the device.
            Defaults to 8192.
        gallery_block (int): Images whose keys and values are held on the
            device. Defaults to 512.
        pair_batch (int): Pairs that run at a time. Defaults to 128.
        text_batch (int): Captions encoded at a time. Defaults to 256.

    Examples:
        >>> test_cfg = dict(type='mmtpr.RerankTestLoop', num_candidates=128)
        >>> test_evaluator = dict(type='mmtpr.RerankedRetrievalMetric')
    """

    stage = 'test'


@LOOPS.register_module()
class RerankValLoop(_RerankLoop, ValLoop):
    """Validation with re-ranking; all of it as :class:`RerankTestLoop`.

    Args:
        runner (Runner): The runner.
        dataloader (DataLoader | dict): Queries and gallery in one dataset.
        evaluator (Evaluator | dict | list): With a
            :class:`RerankedRetrievalMetric`.
        fp16 (bool): Whether to run under autocast. Defaults to False.
        num_candidates (int): Candidates of each query. Defaults to 128.
        query_block (int): See :class:`PairScorer`. Defaults to 8192.
        gallery_block (int): See :class:`PairScorer`. Defaults to 512.
        pair_batch (int): See :class:`PairScorer`. Defaults to 128.
        text_batch (int): See :class:`PairScorer`. Defaults to 256.
    """

    stage = 'val'


def _rows(index: Tensor, *values: Tensor) -> Iterator[tuple]:
    """Positions in the batch with the rows that belong to them."""
    number = len(index)
    return zip(index.tolist(), *(x[:number] for x in values), strict=True)


def _nothing_message(sample: RetrievalDataSample) -> str:
    if sample.role == 'query':
        return (
            f'The query "{sample.get("caption")}" has no tokens: add '
            "'mmtpr.TokenizeBert' to the test pipeline."
        )
    return (
        f'The gallery item "{sample.get("img_path")}" has no image: add an '
        'image loader to the test pipeline.'
    )
