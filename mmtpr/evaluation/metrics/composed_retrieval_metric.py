"""Composed retrieval beside what image and sentence do alone."""

from collections.abc import Sequence
from typing import Any

from mmengine.logging import print_log

from mmtpr.registry import METRICS

from .gathered_metric import GatheredMetric
from .person_retrieval_metric import PersonRetrievalMetric

#: Name of the row of the queries proper, whose numbers have no prefix.
MAIN_ROW = 'composed'


@METRICS.register_module()
class ComposedRetrievalMetric(GatheredMetric):
    """Several kinds of query on one gallery, in one run.

    A :class:`PersonRetrievalMetric` of the queries proper, the row
    ``composed``, whose numbers are named ``R@1``, ``mAP`` and so on; and of
    each further row ``image``, from the queries' ``features_image``, with
    numbers named ``image/R@1``. Further rows are compared with a gallery
    item's ``features_pooled`` where it has them, else with its ``features``.
    Prints a table, and how many captions were cut because they were too
    long.

    Args:
        rows (Sequence[str]): Further rows; a retriever with several TINets
            also gives ``tinet0``, ``tinet1`` and so on. Defaults to
            ``('image', 'text', 'sum')``.
        match_key (str): What makes a gallery item right. Defaults to
            ``'instance_id'``.
        topk_tokens (int): How many of an item's T cosines are averaged for
            the queries proper. Defaults to 1.
        topk (Sequence[int]): The k of R@k. Defaults to (1, 5, 10).
        save_ranking (str, optional): A ``.json`` file for the ranked lists
            of the queries proper. Defaults to None.
        save_scores (str, optional): A ``.npz`` file for the scores of the
            queries proper with the whole gallery, see
            :class:`PersonRetrievalMetric`. Defaults to None.
        collect_device (str): See :class:`PersonRetrievalMetric`.
        prefix (str, optional): Put before all names. Defaults to None.
        collect_dir (str, optional): See mmengine. Defaults to None.
        **kwargs: Further arguments of :class:`PersonRetrievalMetric`.

    Examples:
        >>> val_evaluator = dict(
        ...     type='mmtpr.ComposedRetrievalMetric', topk_tokens=6)
    """

    def __init__(
        self,
        rows: Sequence[str] = ('image', 'text', 'sum'),
        match_key: str = 'instance_id',
        topk_tokens: int = 1,
        topk: Sequence[int] = (1, 5, 10),
        save_ranking: str | None = None,
        save_scores: str | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
        **kwargs,
    ) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        rows = tuple(rows)
        if MAIN_ROW in rows or len(set(rows)) != len(rows):
            raise ValueError(
                f'rows must be different names other than "{MAIN_ROW}", '
                f'which is always there; got {rows}.'
            )
        kwargs.update(match_key=match_key, topk=topk)
        self.rows = rows
        self._main = PersonRetrievalMetric(
            topk_tokens=topk_tokens,
            save_ranking=save_ranking,
            save_scores=save_scores,
            **kwargs,
        )
        self._beside = PersonRetrievalMetric(**kwargs)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep what ranking needs of a batch, on the CPU.

        Args:
            data_batch (Any): Not used.
            data_samples (Sequence[dict]): See
                :class:`PersonRetrievalMetric`; with ``features_<row>`` of
                queries and, if at hand, ``features_pooled`` of gallery items.

        Raises:
            ValueError: If a sample lacks something.
        """
        for sample in data_samples:
            kept = {MAIN_ROW: _kept(self._main, sample)}
            if sample['role'] == 'query':
                for row in self.rows:
                    view = _of_row(sample, row)
                    kept[row] = _kept(self._beside, view)
            elif sample.get('features_pooled') is not None:
                view = {**sample, 'features': sample['features_pooled']}
                kept['pooled'] = _kept(self._beside, view)
            self.keep(sample, kept)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Rank the queries of every row.

        Args:
            results (list[dict]): What :meth:`process` kept, of all processes.

        Returns:
            dict[str, float]: ``R@k``, ``mAP``, ``mINP`` in percent, those of
            further rows with the row's name before a slash.
        """
        table = {
            MAIN_ROW: self._main.compute_metrics(
                [item[MAIN_ROW] for item in results]
            )
        }
        for row in self.rows:
            chosen = [_item_of_row(item, row) for item in results]
            table[row] = self._beside.compute_metrics(chosen)
        print_log(format_table(table, (*self.rows, MAIN_ROW)), 'current')
        numbers = dict(table[MAIN_ROW])
        for row in self.rows:
            numbers.update((f'{row}/{k}', v) for k, v in table[row].items())
        return numbers


def format_table(table: dict[str, dict], order: Sequence[str]) -> str:
    """Format the numbers of several rows side by side.

    Args:
        table (dict[str, dict]): Numbers by row and name.
        order (Sequence[str]): The rows, first one first.

    Returns:
        str: A Markdown table after an empty line.
    """
    names = list(table[order[0]])
    lines = [
        f'| query | {" | ".join(names)} |',
        f'|---|{"---:|" * len(names)}',
    ]
    for row in order:
        cells = ' | '.join(f'{table[row][name]:.2f}' for name in names)
        lines.append(f'| {row} | {cells} |')
    return '\n' + '\n'.join(lines)


def _of_row(sample: dict, row: str) -> dict:
    features = sample.get(f'features_{row}')
    if features is None:
        given = sorted(
            key.removeprefix('features_')
            for key in sample
            if key.startswith('features_')
        )
        raise ValueError(
            f'A query has no features_{row} for the row "{row}" of '
            'ComposedRetrievalMetric; the model gives the rows '
            f'{", ".join(given) or "none"}. Set rows accordingly.'
        )
    # That its caption was cut is told once, with the queries proper.
    return {**sample, 'features': features, 'caption_cut': False}


def _item_of_row(item: dict, row: str) -> dict:
    """Query of the row, or gallery item to compare it with."""
    return item.get(row) or item.get('pooled') or item[MAIN_ROW]


def _kept(metric: PersonRetrievalMetric, sample: dict) -> dict:
    """Facts that a metric keeps of a sample."""
    metric.process(None, [sample])
    return metric.results.pop()
