"""Equal plain values mean that two things do the same."""

import os
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from mmtpr.utils.fingerprint import settings_fingerprint


def fingerprint(value):
    return settings_fingerprint(value)


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


def double(value):
    return value * 2


def triple(value):
    return value * 3


def made_by_exec(factor):
    made = {'__name__': 'typed_in'}
    exec(f'def function(value):\n    return value * {factor}000', made)
    return made['function']


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
        lambda i: (double, triple)[i - 1],
        lambda i: made_by_exec(i),
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
def test_what_differs_has_another_fingerprint(make):
    assert fingerprint(make(1)) == fingerprint(make(1))
    assert fingerprint(make(1)) != fingerprint(make(2))


def zero(module):
    for parameter in module.parameters():
        parameter.data.zero_()


def test_what_does_not_matter():
    assert fingerprint(dict(a=1, b=[])) == fingerprint(dict(b=[], a=1))
    assert fingerprint(Thing(cache={}, a=1)) == fingerprint(
        Thing(cache={1: 2}, a=1)
    )
    assert fingerprint(object()) == fingerprint(object())
    around = Thing(a=1)
    around.me = around
    assert fingerprint(around) == fingerprint(around)
    module = nn.Linear(2, 2)
    before = fingerprint(module.train())
    assert fingerprint(module.eval()) == before


def test_buffers_outside_of_the_weights_count():
    one, two = nn.Identity(), nn.Identity()
    for number, module in enumerate((one, two)):
        module.register_buffer('mean', torch.tensor(number), persistent=False)
    assert fingerprint(one) != fingerprint(two)


def test_another_process_sees_the_same(repo_root):
    code = (
        'from mmtpr.datasets.transforms import SquarePad, TokenizeCaption\n'
        'from mmtpr.utils.plain_values import plain_value\n'
        'things = [{*"abcdefgh"}, SquarePad(), TokenizeCaption(), object()]\n'
        'found = repr(plain_value(things))'
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


def test_byte_code_does_not_count(monkeypatch):
    """Another version of Python compiles the same function otherwise."""
    transform = Thing(function=double, lambdas=[times(2)])
    before = fingerprint(transform), fingerprint(double)
    for function in (double, transform.lambdas[0]):
        code = function.__code__
        other = code.replace(
            co_code=bytes([9, 0]) + code.co_code,  # a NOP in front
            co_consts=(*code.co_consts, 'another constant'),
            co_stacksize=code.co_stacksize + 1,
        )
        assert other.co_code != code.co_code
        monkeypatch.setattr(function, '__code__', other)
    assert (fingerprint(transform), fingerprint(double)) == before
