"""Retrieval by a cross encoder's scores beside retrieval by cosine."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.logging import print_log

from mmtpr.registry import METRICS

from ..reranking.fused_scores import FusedScores, Fusion, rank_reranked
from .composed_retrieval_metric import format_table
from .gathered_metric import GatheredMetric
from .person_retrieval_metric import PersonRetrievalMetric
from .ranking_file import same_image_pairs, write_ranking


@METRICS.register_module()
class RerankedRetrievalMetric(GatheredMetric):
    """R@k, mAP and mINP after re-ranking, and before it.

    For :class:`RerankTestLoop` and :class:`RerankValLoop`, which put the best
    candidates of each query and their matching scores on the samples. The
    score of an item is ``itm_weight * minmax(matching) + cosine_weight *
    minmax(cosine)``, the range taken over the whole test; an item that is no
    candidate has the least matching score of the query. Numbers of the
    cosine alone are named ``cosine/R@1`` and so on.

    What the release of APTM and Filtering-WoRA prints on n GPUs depends on n:
    each process fills the rows of the others with 1000 before it normalises,
    and all are added up. ``compat_world_size=n`` gives these numbers.

    Args:
        itm_weight (float): Factor of the matching score. Defaults to 1, as
            published.
        cosine_weight (float): Factor of the cosine. Defaults to 0.002, as
            published.
        compat_world_size (int, optional): Compute in float32 what the release
            prints on so many GPUs, equal scores in the order of the gallery.
            Defaults to None: the rule above, in float64.
        match_key (str): What makes a gallery item right. Defaults to
            ``'pid'``.
        topk (Sequence[int]): The k of R@k. Defaults to (1, 5, 10).
        save_ranking (str, optional): A ``.json`` file for the ranked lists
            after re-ranking. Defaults to None.
        save_topk (int): Length of the saved lists. Defaults to 10.
        collect_device (str): See :class:`PersonRetrievalMetric`.
        prefix (str, optional): Put before all names. Defaults to None.
        collect_dir (str, optional): See mmengine. Defaults to None.
        **kwargs: Further arguments of :class:`PersonRetrievalMetric`;
            ``save_scores`` are the cosines before re-ranking.

    Examples:
        >>> test_cfg = dict(type='mmtpr.RerankTestLoop', topk=128)
        >>> test_evaluator = dict(type='mmtpr.RerankedRetrievalMetric')
    """

    def __init__(
        self,
        itm_weight: float = 1.0,
        cosine_weight: float = 0.002,
        compat_world_size: int | None = None,
        match_key: str = 'pid',
        topk: Sequence[int] = (1, 5, 10),
        save_ranking: str | None = None,
        save_topk: int = 10,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
        **kwargs,
    ) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        self.fusion = Fusion(itm_weight, cosine_weight, compat_world_size)
        kwargs.update(match_key=match_key, topk=topk)
        self._cosine = PersonRetrievalMetric(**kwargs)
        # Checks the name of the file; the lists are written here.
        self._saved = PersonRetrievalMetric(
            save_ranking=save_ranking, save_topk=save_topk
        )

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep what ranking needs of a batch, on the CPU.

        Args:
            data_batch (Any): Not used.
            data_samples (Sequence[dict]): See
                :class:`PersonRetrievalMetric`; queries with ``rerank_index``
                and ``rerank_score`` of shape (k, ).

        Raises:
            ValueError: If a sample lacks something.
        """
        for sample in data_samples:
            self._cosine.process(data_batch, [sample])
            kept = self._cosine.results.pop()
            if kept['role'] == 'query':
                for name in ('rerank_index', 'rerank_score'):
                    kept[name] = _field(sample, name)
            self.keep(sample, kept)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Rank all queries by cosine and by both scores.

        Args:
            results (list[dict]): What :meth:`process` kept, of all processes.

        Returns:
            dict[str, float]: ``R@k``, ``mAP``, ``mINP`` in percent, then
            those of the cosine alone.

        Raises:
            ValueError: As :class:`PersonRetrievalMetric` and
                :class:`FusedScores`.
        """
        before = self._cosine.compute_metrics(results)
        queries = [item for item in results if item['role'] == 'query']
        gallery = [item for item in results if item['role'] == 'gallery']
        exclude = None
        if self._cosine.exclude_same_image:
            exclude = same_image_pairs(queries, gallery)
        scores = FusedScores(
            _stack(queries, 'features'),
            _stack(gallery, 'features').flatten(1),
            _stack(queries, 'rerank_index').long(),
            _stack(queries, 'rerank_score'),
            self.fusion,
            self._cosine.chunk_size,
        )
        saved = self._saved
        ranking, lists = rank_reranked(
            scores,
            [item['id'] for item in queries],
            [item['id'] for item in gallery],
            ties=self._cosine.ties,
            ignore_ids=self._cosine.ignore_ids,
            exclude=exclude,
            list_size=saved.save_topk if saved.save_ranking else 0,
        )
        after = ranking.metrics(self._cosine.topk)
        table = {'cosine': before, 're-ranked': after}
        print_log(format_table(table, tuple(table)), 'current')
        if saved.save_ranking:
            self._save(queries, gallery, ranking, lists, after)
        return {**after, **{f'cosine/{k}': v for k, v in before.items()}}

    def _save(self, queries, gallery, ranking, lists, metrics) -> None:
        path: Any = self._saved.save_ranking
        header = dict(
            match_key=self._cosine.match_key,
            ties=self._cosine.ties,
            metrics=metrics,
        )
        write_ranking(path, queries, gallery, ranking, lists, header)
        print_log(f'Ranked lists are in "{path}".', logger='current')


def _field(sample: dict, name: str) -> torch.Tensor:
    value = sample.get(name)
    if not isinstance(value, torch.Tensor):
        raise ValueError(
            f'A query has no {name}: RerankedRetrievalMetric needs '
            "test_cfg=dict(type='mmtpr.RerankTestLoop') or "
            "val_cfg=dict(type='mmtpr.RerankValLoop')."
        )
    # A copy: a view would keep the whole table.
    return value.detach().to('cpu', copy=True)


def _stack(items: list[dict], name: str) -> torch.Tensor:
    return torch.stack([item[name] for item in items])
