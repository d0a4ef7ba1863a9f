"""Person retrieval as a metric of the ordinary test loop."""

import logging
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.logging import print_log

from mmtpr.registry import METRICS
from mmtpr.structures.negatives import negative_of
from mmtpr.utils.atomic import check_writable

from ..ranking.from_features import rank_queries
from ..ranking.matches import ON_MISSING, check_missing
from ..ranking.ranking import TIES, Ranking, check_topk
from ..similarity import similarity_blocks
from ..stacked_items import StackedItems
from .gathered_metric import GatheredMetric
from .ranking_file import same_image_pairs, write_ranking
from .score_matrix_file import DTYPES, write_score_matrix

_MATCH_KEYS = ('pid', 'instance_id')
# Items whose features are looked at together.
_SUMMED = 256


@METRICS.register_module()
class PersonRetrievalMetric(GatheredMetric):
    """R@k, mAP and mINP of queries against a gallery.

    Queries and gallery items come through one data loader; each sample says by
    ``role`` which it is and carries ``features``: (D, ) for a query, (T, D)
    for a gallery item. Similarity is the mean of the ``topk_tokens`` largest
    cosines. With :class:`WholeBatchSampler` the numbers are the same for any
    number of processes.

    Args:
        match_key (str): What makes a gallery item right for a query:
            ``'pid'`` (same person) or ``'instance_id'`` (same person in the
            same outfit). Defaults to ``'pid'``.
        topk (Sequence[int]): The k of R@k. Defaults to (1, 5, 10).
        topk_tokens (int): How many of an item's T cosines are averaged.
            Defaults to 1.
        chunk_size (int, optional): Queries compared with the gallery at a
            time. Changes the memory, never the numbers. Defaults to None, as
            many as fit in 64 MiB of similarities, and 256 in any case: 1 KiB
            a gallery item.
        ties (str): ``'pessimistic'``: a wrong item with the score of a right
            one stands before it, so a model that gives all the same score
            earns nothing. ``'optimistic'``: behind it. Defaults to
            ``'pessimistic'``.
        ignore_ids (Sequence[int]): Ids that match nothing, of distractors.
            Defaults to (-1, ).
        exclude_same_image (bool): Whether a query does not meet the gallery
            item with its own ``img_path``, for queries with a reference image.
            Defaults to False: it stays in the gallery.
        on_missing (str): For queries that nothing in the gallery matches:
            ``'error'``, or ``'skip'`` to leave them out with a warning.
            Defaults to ``'error'``.
        save_ranking (str, optional): A ``.json`` file for the ranked lists,
            written by the main process; ``visualize_ranking.py`` and
            ``plot_curves.py`` in ``tools/analysis`` draw it. Defaults to None.
        save_topk (int): Length of the saved lists. Defaults to 10.
        save_scores (str, optional): A ``.npz`` file for the scores of all
            queries with the whole gallery, for other evaluators; read it with
            :func:`read_score_matrix`. Written by the main process in blocks,
            whose products are computed once more. Defaults to None.
        scores_dtype (str): ``'float32'``, or ``'float16'`` for half the size,
            in which near scores may become equal. Defaults to ``'float32'``.
        collect_device (str): ``'cpu'`` or ``'gpu'``, where results of several
            processes meet. Defaults to ``'cpu'``.
        prefix (str, optional): Put before the names of the numbers, with a
            slash. Defaults to None, no prefix.
        collect_dir (str, optional): See mmengine. Defaults to None.

    Examples:
        >>> # in a config
        >>> test_evaluator = dict(
        ...     type='mmtpr.PersonRetrievalMetric',
        ...     match_key='pid',
        ...     save_ranking='work_dirs/wora_cuhk/ranking.json')
    """

    def __init__(
        self,
        match_key: str = 'pid',
        topk: Sequence[int] = (1, 5, 10),
        topk_tokens: int = 1,
        chunk_size: int | None = None,
        ties: str = 'pessimistic',
        ignore_ids: Sequence[int] = (-1,),
        exclude_same_image: bool = False,
        on_missing: str = 'error',
        save_ranking: str | None = None,
        save_topk: int = 10,
        save_scores: str | None = None,
        scores_dtype: str = 'float32',
        collect_device: str = 'cpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        check_topk(topk)
        _one_of('match_key', match_key, _MATCH_KEYS)
        _one_of('ties', ties, TIES)
        _one_of('on_missing', on_missing, ON_MISSING)
        _at_least_one('topk_tokens', topk_tokens)
        _at_least_one('save_topk', save_topk)
        if chunk_size is not None:
            _at_least_one('chunk_size', chunk_size)
        _one_of('scores_dtype', scores_dtype, DTYPES)
        _check_file('save_ranking', save_ranking, '.json')
        _check_file('save_scores', save_scores, '.npz')
        self.match_key = match_key
        self.topk = tuple(topk)
        self.topk_tokens = topk_tokens
        self.chunk_size = chunk_size
        self.ties = ties
        self.ignore_ids = tuple(ignore_ids)
        self.exclude_same_image = exclude_same_image
        self.on_missing = on_missing
        self.save_ranking = save_ranking
        self.save_scores, self.scores_dtype = save_scores, scores_dtype
        self.save_topk = save_topk

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep what ranking needs of a batch, on the CPU.

        Args:
            data_batch (Any): Not used.
            data_samples (Sequence[dict]): With ``role``, the match key,
                ``features`` and, where they exist, ``img_path``,
                ``caption`` and ``caption_cut``.

        Raises:
            ValueError: If a sample lacks one of them or has a role other than
                query and gallery.
        """
        for sample in data_samples:
            role: Any = sample.get('role')
            if role not in ('query', 'gallery'):
                raise ValueError(
                    f'A sample has role={role!r}. {type(self).__name__} needs '
                    "role ('query' or 'gallery'), "
                    f'{self.match_key} (who it is) and features (a tensor '
                    f'from the model); this one has {sorted(sample)}.'
                )
            if sample.get(self.match_key) is None:
                raise ValueError(
                    f'A {role} sample has no {self.match_key}, by which '
                    'PersonRetrievalMetric matches. Set match_key to what '
                    f'the dataset gives; the sample has {sorted(sample)}.'
                )
            number = sample[self.match_key]
            if int(number) != number:
                raise ValueError(
                    f'{self.match_key}={number!r} of a sample is no whole '
                    'number.'
                )
            self.keep(
                sample,
                dict(
                    role=role,
                    id=int(number),
                    features=_features(sample, role),
                    img_path=sample.get('img_path'),
                    caption=sample.get('caption'),
                    cut=bool(sample.get('caption_cut')),
                    **negative_of(sample),
                ),
            )

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Rank all queries.

        Args:
            results (list[dict]): What :meth:`process` kept, of all processes.

        Returns:
            dict[str, float]: ``R@k``, ``mAP``, ``mINP`` in percent.

        Raises:
            ValueError: If there are no queries or no gallery, features do not
                fit or are not finite, or a query has no match and
                ``on_missing`` is ``'error'``.
        """
        queries = _of_role(results, 'query')
        gallery = _of_role(results, 'gallery')
        query_ids = torch.tensor([item['id'] for item in queries])
        gallery_ids = torch.tensor([item['id'] for item in gallery])
        exclude = None
        if self.exclude_same_image:
            exclude = same_image_pairs(queries, gallery)
        missing = check_missing(
            query_ids,
            gallery_ids,
            self.ignore_ids,
            exclude,
            self.on_missing,
            self.match_key,
        )
        if missing:
            print_log(
                f'PersonRetrievalMetric leaves out {missing} of '
                f'{len(queries)} queries: nothing in the gallery matches '
                f'them by {self.match_key}.',
                logger='current',
                level=logging.WARNING,
            )
        features = _stack(queries, 'query'), _stack(gallery, 'gallery')
        ranking, lists = rank_queries(
            features[0],
            query_ids,
            features[1],
            gallery_ids,
            topk_tokens=self.topk_tokens,
            ties=self.ties,
            ignore_ids=self.ignore_ids,
            exclude=exclude,
            chunk_size=self.chunk_size,
            list_size=self.save_topk if self.save_ranking else 0,
        )
        _report_cut(queries)
        metrics = ranking.metrics(self.topk)
        if self.save_ranking:
            path = self.save_ranking
            self._save(path, queries, gallery, ranking, lists, metrics)
        if self.save_scores:
            write_score_matrix(
                self.save_scores,
                similarity_blocks(
                    *features, self.topk_tokens, self.chunk_size
                ),
                queries,
                gallery,
                self.match_key,
                self.ignore_ids,
                exclude,
                self.scores_dtype,
            )
        return metrics

    def _save(
        self,
        path: str,
        queries: list[dict],
        gallery: list[dict],
        ranking: Ranking,
        lists: dict[str, torch.Tensor],
        metrics: dict[str, float],
    ) -> None:
        header = dict(
            match_key=self.match_key, ties=self.ties, metrics=metrics
        )
        write_ranking(path, queries, gallery, ranking, lists, header)
        print_log(f'Ranked lists are in "{path}".', logger='current')


def _report_cut(queries: list[dict]) -> None:
    number = sum(query['cut'] for query in queries)
    if number:
        print_log(
            f'{number} of {len(queries)} captions were too long for the text '
            'tower, with what stands around them, and were cut.',
            logger='current',
            level=logging.WARNING,
        )


def _features(sample: dict, role: str) -> torch.Tensor:
    """Own normalised float32 copy, (D, ) of a query, else (T, D)."""
    features = sample.get('features')
    if not isinstance(features, torch.Tensor):
        raise ValueError(
            f'A {role} sample has no features; the model has to put a tensor '
            'there in predict mode.'
        )
    # A copy: a view would keep, and send to other processes, its whole batch.
    features = features.detach().to('cpu', torch.float32, copy=True)
    dim = features.shape[-1]
    features = features.reshape(-1, dim)
    if role == 'query':
        if len(features) != 1:
            raise ValueError(
                'A query has one feature vector, got shape '
                f'{tuple(features.shape)}.'
            )
        features = features[0]
    return F.normalize(features, dim=-1)


def _of_role(results: list[dict], role: str) -> list[dict]:
    items = [item for item in results if item['role'] == role]
    if not items:
        raise ValueError(
            f'The test set has no {role} samples ({len(results)} in all). '
            'PersonRetrievalMetric needs one dataset with queries and '
            'gallery.'
        )
    return items


def _stack(items: list[dict], role: str) -> Any:
    shapes = {tuple(item['features'].shape) for item in items}
    if len(shapes) > 1:
        raise ValueError(
            f'{role} features differ in shape: {sorted(shapes)}. All items '
            'need the same number of vectors of the same width.'
        )
    features = [item['features'] for item in items]
    # Of items of several vectors a second copy would be large.
    several = role == 'gallery' and len(features[0]) > 1
    stacked = StackedItems(features) if several else torch.stack(features)
    # They are normalised: a sum is finite unless one of the numbers is not.
    sums = [
        stacked[start : start + _SUMMED].flatten(1).sum(1)
        for start in range(0, len(items), _SUMMED)
    ]
    broken = ~torch.cat(sums).isfinite()  # (N,)
    if broken.any():
        first = items[int(broken.nonzero()[0])]
        name = first['img_path'] or first['caption']
        raise ValueError(
            f'{int(broken.sum())} of {len(items)} {role} features are not '
            f'finite, first that of "{name}". Look at the checkpoint, or at '
            'the precision it runs in.'
        )
    return stacked


def _one_of(name: str, value: Any, choices: tuple) -> None:
    if value not in choices:
        raise ValueError(f'{name} must be one of {choices}, not {value!r}.')


def _check_file(name: str, path: str | None, ending: str) -> None:
    """Check a file before the test, not after."""
    if not path:
        return
    if not str(path).endswith(ending):
        raise ValueError(f'{name} must be a {ending} file, got "{path}".')
    check_writable(path)


def _at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f'{name} must be at least 1, got {value}.')
