"""Samples of all processes in the order of the test set."""

import pytest

from mmtpr.evaluation.whole_set import join_samples, number_samples


def dealt(world, size, batch):
    """Whole batches, as WholeBatchSampler deals them."""
    batches = [range(i, min(i + batch, size)) for i in range(0, size, batch)]
    return [[i for b in batches[r::world] for i in b] for r in range(world)]


@pytest.mark.parametrize('world', [1, 2, 3, 8])
def test_whole_batches(world):
    parts = dealt(world, 23, 4)
    numbers = number_samples(parts, 23)
    assert join_samples(parts, numbers, 23) == list(range(23))


def test_repeated_samples_count_once():
    parts = [[0, 2, 4], [1, 3, 0]]
    numbers = number_samples(parts, 5)
    assert numbers == parts
    names = [['a', 'c', 'e'], ['b', 'd', 'a again']]
    assert join_samples(names, numbers, 5) == ['a', 'b', 'c', 'd', 'e']


def test_numbers_of_a_subset():
    """A wrapper that leaves samples out keeps the numbers of the rest."""
    assert number_samples([[40, 7], [9]], 3) == [[2, 0], [1]]


@pytest.mark.parametrize(
    'parts', [[[None] * 3, [None] * 3], [[0, 0, 1], [0, 1, 0]]]
)
def test_without_numbers_as_mmengine_deals(parts):
    assert number_samples(parts, 5) == [[0, 2, 4], [1, 3, 0]]


def test_what_cannot_be_told_is_an_error():
    with pytest.raises(ValueError, match='gave 3 of 4 samples'):
        number_samples([[0, 1], [2]], 4)
    for parts in ([[0, 1, 0], [1]], [[None] * 3, [None]]):
        with pytest.raises(ValueError, match='processes have 3, 1 of them'):
            number_samples(parts, 4)
