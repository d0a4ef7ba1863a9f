"""What the processes of a test know about queries and gallery, together."""

from dataclasses import dataclass

import torch
from mmengine.dist import all_gather_object, get_dist_info
from torch import Tensor


@dataclass
class TestSet:
    """Features and captions of a whole test set, in its order.

    Args:
        is_query (Tensor): Of all S samples, of shape (S, ), bool.
        query (Tensor): Features of the queries, of shape (Q, D).
        gallery (Tensor): Features of the gallery, of shape (G, D).
        tokens (Tensor): Captions of the queries, of shape (Q, L).
        mask (Tensor): 1 where a token counts, of shape (Q, L).
        positions (Tensor): Which samples this process has, of shape (n, );
            one that the sampler repeated has the number of the original.
        repeated (Tensor): Whether another one stands for it, of shape (n, ).
    """

    # pytest: no test class
    __test__ = False

    is_query: Tensor
    query: Tensor
    gallery: Tensor
    tokens: Tensor
    mask: Tensor
    positions: Tensor
    repeated: Tensor

    def rows(self) -> Tensor:
        """Number of each sample among those of its role.

        Returns:
            Tensor: Of shape (S, ), long.
        """
        query = self.is_query.long()
        return torch.where(
            self.is_query, query.cumsum(0), (1 - query).cumsum(0)
        ).sub_(1)


def gather_test_set(
    size: int, features: Tensor, is_query: Tensor, tokens: Tensor, mask: Tensor
) -> TestSet:
    """Exchange features and captions between processes.

    Process r of n has the samples r, r + n, ... as mmengine's samplers give
    them and its metrics expect them.

    Args:
        size (int): Number S of samples of the test set.
        features (Tensor): Of this process' n samples, of shape (n, D).
        is_query (Tensor): Whether each is a query, of shape (n, ).
        tokens (Tensor): Captions of its queries, of shape (q, L), q may be 0.
        mask (Tensor): 1 where a token counts, of shape (q, L).

    Returns:
        TestSet: The same in all processes but for ``positions`` and
        ``repeated``.

    Raises:
        ValueError: If the samples of all processes are not the test set, or
            there are no queries or no gallery.
    """
    rank, world = get_dist_info()
    numbers = torch.arange(len(features)) * world + rank
    own = dict(
        numbers=numbers,
        features=features.cpu(),
        is_query=is_query.cpu(),
        tokens=tokens.cpu(),
        mask=mask.cpu(),
    )
    parts = all_gather_object(own)
    order = torch.cat([part['numbers'] for part in parts]).argsort()
    is_query = torch.cat([part['is_query'] for part in parts])
    # Place of each query's caption, by place of its sample.
    caption = (is_query.long().cumsum(0) - 1)[order][:size]
    features = torch.cat([part['features'] for part in parts])[order][:size]
    is_query = is_query[order][:size]
    _check(size, is_query)
    captions = {
        key: torch.cat([part[key] for part in parts if len(part[key])])
        for key in ('tokens', 'mask')
    }
    return TestSet(
        is_query,
        features[is_query],
        features[~is_query],
        captions['tokens'][caption[is_query]],
        captions['mask'][caption[is_query]],
        numbers % size,
        numbers >= size,
    )


def _check(size: int, is_query: Tensor) -> None:
    queries = int(is_query.sum())
    if len(is_query) < size:
        raise ValueError(
            f'The data loaders gave {len(is_query)} of {size} samples. '
            'Re-ranking needs all of them: drop_last=False and a sampler that '
            'covers the test set.'
        )
    if not 0 < queries < size:
        raise ValueError(
            f'The test set has {queries} queries and {size - queries} gallery '
            'items. Re-ranking needs both in one data set.'
        )
