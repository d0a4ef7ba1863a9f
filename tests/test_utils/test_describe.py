"""Equal descriptions mean that two things do the same."""

import os
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from mmtpr.utils.describe import describe


class Thing:
    """An object without a repr of its own."""

    def __init__(self, **attributes):
        self.__dict__.update(attributes)

    def first(self):
        return self

    def second(self):
        return None


def times(factor):
    return lambda value: value * factor


@pytest.mark.parametrize(
    'make',
    [
        lambda i: i,
        lambda i: str(i),
        lambda i: dict(a=i),
        lambda i: {i: 'a'},
        lambda i: {('a', 'b'): [i]},
        lambda i: [{1, i}],
        lambda i: np.array([0.0, i]),
        lambda i: np.array([None, i]),
        lambda i: np.zeros((2, i)),
        lambda i: torch.tensor([0.0, i]),
        lambda i: Thing(inner=Thing(_value=i)),
        lambda i: (Thing, torch.Tensor)[i - 1],
        lambda i: (len, max)[i - 1],
        lambda i: times(i),
        lambda i: (lambda value: value * 2, lambda value: value * 3)[i - 1],
        lambda i: partial(times, factor=i),
        lambda i: (Thing().first, Thing().second)[i - 1],
        lambda i: Thing(value=i).first,
        lambda i: nn.Dropout(i / 10),
        lambda i: (
            nn.MultiheadAttention(2, i).requires_grad_(False).apply(zero)
        ),
        lambda i: (nn.GELU(), nn.ReLU())[i - 1],
    ],
)
def test_what_differs_is_described_differently(make):
    assert describe(make(1)) == describe(make(1))
    assert describe(make(1)) != describe(make(2))


def zero(module):
    for parameter in module.parameters():
        parameter.data.zero_()


def test_what_does_not_matter():
    assert describe(dict(a=1, b=[])) == describe(dict(b=[], a=1))
    assert describe(Thing(cache={}, a=1)) == describe(Thing(cache={1: 2}, a=1))
    assert describe(object()) == describe(object())
    around = Thing(a=1)
    around.me = around
    assert describe(around) == describe(around)
    module = nn.Linear(2, 2)
    before = describe(module.train())
    assert describe(module.eval()) == before


def test_buffers_outside_of_the_weights_count():
    one, two = nn.Identity(), nn.Identity()
    for number, module in enumerate((one, two)):
        module.register_buffer('mean', torch.tensor(number), persistent=False)
    assert describe(one) != describe(two)


def test_another_process_describes_alike(repo_root):
    code = (
        'from mmtpr.datasets.transforms import SquarePad, TokenizeCaption\n'
        'from mmtpr.utils.describe import describe\n'
        'things = [{*"abcdefgh"}, SquarePad(), TokenizeCaption(), object()]\n'
        'found = repr(describe(things))'
    )
    here = {}
    exec(code, here)
    there = subprocess.run(
        [sys.executable, '-c', code + '; print(found)'],
        env=dict(os.environ, PYTHONHASHSEED='1', PYTHONPATH=str(repo_root)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.splitlines()[-1] == here['found']
    assert 'mmtpr.datasets.transforms' in here['found']
