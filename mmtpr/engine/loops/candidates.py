"""Queries and gallery of a whole test set, gathered from all processes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.dist import (
    all_gather,
    all_gather_object,
    get_dist_info,
    get_rank,
)
from torch import Tensor

from mmtpr.evaluation.packed_results import pack_results, unpack_results
from mmtpr.evaluation.whole_set import join_samples, number_samples


@dataclass
class TestSet:
    """Features and captions of a whole test set, in its order.

    Args:
        query (Tensor): Features of the queries, of shape (Q, D).
        gallery (Tensor): Features of the gallery, of shape (G, D).
        tokens (Tensor): Captions of the queries, of shape (Q, L).
        mask (Tensor): 1 where a token counts, of shape (Q, L).
        query_rows (list[int]): For each sample of this process its row among
            the queries, -1 of a gallery item.
        gallery_owners (list[tuple[int, int]]): Process that has a gallery
            item, and place of the item among the samples of the process.
    """

    # pytest: no test class
    __test__ = False

    query: Tensor
    gallery: Tensor
    tokens: Tensor
    mask: Tensor
    query_rows: list[int]
    gallery_owners: list[tuple[int, int]]


def gather_test_set(
    size: int,
    sample_idx: Sequence[int | None],
    features: Sequence[Tensor],
    captions: dict[int, tuple[Tensor, Tensor]],
) -> TestSet:
    """Exchange features and captions between processes.

    Args:
        size (int): Number S of samples of the test set.
        sample_idx (Sequence[int | None]): Of this process' n samples.
        features (Sequence[Tensor]): Their features, each of shape (D, ).
        captions (dict[int, tuple[Tensor, Tensor]]): Tokens and mask, each of
            shape (L, ), of those that are queries, by place.

    Returns:
        TestSet: The same in all processes but for ``query_rows``.

    Raises:
        ValueError: If the samples of all processes are not the test set, or
            there are no queries or no gallery.
    """
    own = []
    for place, feature in enumerate(features):
        sample = dict(sample_idx=sample_idx[place], feature=feature.cpu())
        if place in captions:
            sample['tokens'], sample['mask'] = captions[place]
        own.append(sample)
    parts = [*map(unpack_results, all_gather_object(pack_results(own)))]
    indices = [[sample['sample_idx'] for sample in part] for part in parts]
    numbers = number_samples(indices, size)
    samples = join_samples(parts, numbers, size)
    queries = [sample for sample in samples if 'tokens' in sample]
    is_query = torch.tensor(['tokens' in sample for sample in samples])
    _check(size, is_query)
    rows = torch.stack([sample['feature'] for sample in samples])  # (S, D)
    places = [[(r, p) for p in range(len(n))] for r, n in enumerate(numbers)]
    owners = join_samples(places, numbers, size)
    row = torch.where(is_query, is_query.cumsum(0) - 1, -1)
    return TestSet(
        rows[is_query],
        rows[~is_query],
        torch.stack([query['tokens'] for query in queries]),
        torch.stack([query['mask'] for query in queries]),
        row[torch.tensor(numbers[get_rank()], dtype=torch.long)].tolist(),
        [owners[i] for i in (~is_query).nonzero()[:, 0].tolist()],
    )


class ScatteredItems:
    """Tensors that lie with several processes, exchanged a slice at a time.

    Taking a slice is an act of all processes: each must take the same ones in
    the same order, and each gets the whole slice.

    Args:
        own (dict[int, Tensor]): The items of this process by place, all of
            one shape and type.
        owners (Sequence[tuple[int, int]]): Process and place of each item.
    """

    def __init__(
        self, own: dict[int, Tensor], owners: Sequence[tuple[int, int]]
    ) -> None:
        self.own, self.owners = own, list(owners)
        self.rank, self.world = get_dist_info()
        first = next(iter(own.values()), None)
        form = None if first is None else (first.shape, first.dtype)
        forms = [x for x in all_gather_object(form) if x is not None]
        self.shape: torch.Size
        self.dtype: Any
        self.shape, self.dtype = forms[0] if forms else (torch.Size(), None)

    def __len__(self) -> int:
        return len(self.owners)

    def __getitem__(self, some: slice) -> Tensor:
        """Give a slice of the items, of shape (M, ...)."""
        owners = self.owners[some]
        mine = [self.own[p] for r, p in owners if r == self.rank]
        if self.world == 1:
            return torch.stack(mine)
        counts = [0] * self.world
        for rank, _ in owners:
            counts[rank] += 1
        sent = torch.zeros(max(counts), *self.shape, dtype=self.dtype)
        for row, item in enumerate(mine):
            sent[row] = item
        # As bytes, which every backend takes.
        got = all_gather(sent.view(-1).view(torch.uint8))
        parts = [iter(x.cpu().view(self.dtype).view_as(sent)) for x in got]
        return torch.stack([next(parts[rank]) for rank, _ in owners])


def _check(size: int, is_query: Tensor) -> None:
    queries = int(is_query.sum())
    if not 0 < queries < size:
        raise ValueError(
            f'The test set has {queries} queries and {size - queries} gallery '
            'items. Re-ranking needs both in one dataset.'
        )
