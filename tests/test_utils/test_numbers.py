"""What counts as a number."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from mmtpr.utils.numbers import check_whole, is_number, is_whole

WHOLE = [0, -3, 10**400, np.int64(2), np.uint8(2)]
REAL = [0.5, -1e300, np.float32(0.5), np.float64(2), Fraction(1, 3)]
NONE = [
    *(True, np.True_, '1', b'1', None, [1], (), 1j, Ellipsis),
    *(math.nan, math.inf, -math.inf, np.float32('inf')),
    torch.tensor(1),
]


@pytest.mark.parametrize('value', WHOLE[:2] + WHOLE[3:])
def test_whole_numbers(value):
    assert is_whole(value)
    assert is_number(value)


@pytest.mark.parametrize('value', REAL)
def test_others(value):
    assert is_number(value)
    assert not is_whole(value)


@pytest.mark.parametrize('value', NONE, ids=repr)
def test_what_is_no_number(value):
    assert not is_number(value)
    assert not is_whole(value)


def test_a_number_that_no_float_holds():
    assert is_whole(WHOLE[2])
    assert not is_number(WHOLE[2])


@pytest.mark.parametrize('value', [0, 6, 2.0, '3', True, None])
def test_whole_numbers(value):
    match = f'num must be a whole number from 1 to 5, got {value!r}'
    with pytest.raises(ValueError, match=match):
        check_whole('num', value, most=5)
    for good in (1, 5):
        check_whole('num', good, most=5)
    check_whole('num', 10**12)
