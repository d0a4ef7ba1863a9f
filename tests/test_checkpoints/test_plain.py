from collections import OrderedDict, namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict

from mmtpr.checkpoints.plain import to_plain

Point = namedtuple('Point', 'x y')


def test_values_and_types(tmp_path):
    tensor = torch.ones(2)
    mixed = dict(
        cfg=ConfigDict(a=1),
        scalar=np.float64(1.5),
        flag=np.bool_(True),
        array=np.arange(4).reshape(2, 2),
        ordered=OrderedDict(b=1, a=2),
        point=Point(np.int8(1), 2),
        names={np.str_('a')},
        path=Path('a/b'),
        tensor=tensor,
        none=None,
    )
    plain = to_plain(mixed)
    assert plain['tensor'] is tensor
    torch.save(plain, tmp_path / 'x.pth')
    loaded = torch.load(tmp_path / 'x.pth', weights_only=True)
    assert loaded.pop('tensor').equal(tensor)
    assert type(loaded['cfg']) is dict
    assert loaded == dict(
        cfg=dict(a=1),
        scalar=1.5,
        flag=True,
        array=[[0, 1], [2, 3]],
        ordered=OrderedDict(b=1, a=2),
        point=(1, 2),
        names={'a'},
        path='a/b',
        none=None,
    )
    assert type(loaded) is dict
    assert list(loaded['ordered']) == ['b', 'a']


def test_error_names_the_place():
    with pytest.raises(TypeError, match=r"object in \['a'\]\[1\]"):
        to_plain(dict(a=[1, object()]))
