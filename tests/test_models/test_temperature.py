"""Bounds of temperatures and scales, moved or in the graph."""

import math

import pytest
import torch
from torch import nn

from mmtpr.models.temperature import (
    CROSS_BOUNDS,
    FAFA_BOUNDS,
    bounded,
    bounded_scale,
)


@pytest.mark.parametrize(
    ('bounds', 'start', 'bound'),
    [
        (CROSS_BOUNDS, 0.9, 0.5),
        (CROSS_BOUNDS, 1e-5, 1e-3),
        (CROSS_BOUNDS, 0.07, 0.07),
        (FAFA_BOUNDS, 0.9, 0.9),
        (FAFA_BOUNDS, -0.1, 1e-3),
    ],
)
def test_a_temperature_that_trains_is_moved_and_learns(bounds, start, bound):
    temperature = nn.Parameter(torch.tensor(start))
    rests = bounded(temperature, bounds, training=False)
    assert temperature.item() == pytest.approx(start)
    assert rests.item() == pytest.approx(bound)
    trains = bounded(temperature, bounds, training=True)
    assert trains.item() == temperature.item() == pytest.approx(bound)
    (1 / trains).backward()
    assert temperature.grad < 0


def test_a_scale_that_trains_is_moved_and_learns():
    logit_scale = nn.Parameter(torch.tensor(10.0))
    assert bounded_scale(logit_scale, training=False) == 100
    assert logit_scale == 10
    scale = bounded_scale(logit_scale, training=True)
    assert scale.item() == pytest.approx(100)
    assert logit_scale.item() == pytest.approx(math.log(100))
    scale.backward()
    assert logit_scale.grad > 0
    logit_scale.requires_grad_(False).fill_(10.0)
    assert bounded_scale(logit_scale, training=True) == 100
    assert logit_scale == 10
