"""Parts of a config are found, or the error says where it stopped."""

import mmcv
import numpy as np
import pytest
from mmengine.config import Config

from mmtpr.utils.config_parts import (
    build_pipeline,
    find_pipeline,
    get_setting,
)
from mmtpr.utils.errors import LaunchError


def test_settings_are_found_through_dicts_and_lists():
    cfg = Config(dict(a=dict(b=[dict(c=1), dict(c=2)])))
    assert get_setting(cfg, 'a.b.1.c') == 2
    for key, part in (('a.x', 'x'), ('a.b.2', '2'), ('a.b.c', 'c')):
        with pytest.raises(LaunchError, match=f'no "{key}": "{part}" is not'):
            get_setting(cfg, key)


def test_the_test_pipeline_comes_before_that_of_val():
    test, val = [dict(type='Resize')], [dict(type='Pad')]
    inner = dict(type='X', dataset=dict(type='Y', pipeline=test))
    cfg = Config(
        dict(
            val_dataloader=dict(dataset=dict(pipeline=val)),
            test_dataloader=dict(dataset=inner),
        )
    )
    assert find_pipeline(cfg) == test
    assert find_pipeline(cfg, 'val_dataloader.dataset.pipeline') == val
    cfg.test_dataloader = None
    assert find_pipeline(cfg) == val
    cfg.val_dataloader = None
    with pytest.raises(LaunchError, match='Name one with --pipeline KEY'):
        find_pipeline(cfg)


def test_a_pipeline_of_our_transforms_and_of_mmcv(tmp_path):
    mmcv.imwrite(np.zeros((8, 4, 3), np.uint8), str(tmp_path / 'a.png'))
    load = [dict(type='LoadImageFromFile'), dict(type='mmtpr.SquarePad')]
    pipeline = build_pipeline(
        [dict(type='mmtpr.ImageTransforms', transforms=load)]
    )
    found = pipeline(dict(img_path=str(tmp_path / 'a.png')))
    assert found['img'].shape == (8, 8, 3)
