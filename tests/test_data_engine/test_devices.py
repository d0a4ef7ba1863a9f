"""Devices and types of the models of the data engine."""

import pytest
import torch

from mmtpr.data_engine import TransformersJudge, TransformersWriter
from mmtpr.data_engine.renderers.diffusion import DiffusionModel


@pytest.fixture
def third_gpu(monkeypatch):
    """The third process of a node with GPUs, as its launcher leaves it."""
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'current_device', lambda: 2)


class _Pipeline:
    def __init__(self):
        self.devices = []

    def enable_model_cpu_offload(self, device):
        self.devices.append(torch.device(device))

    enable_sequential_cpu_offload = enable_model_cpu_offload


@pytest.mark.parametrize('offload', ['model', 'sequential'])
@pytest.mark.parametrize(('device', 'index'), [(None, 2), ('cuda:1', 1)])
def test_offloading_keeps_to_the_gpu_of_the_process(
    third_gpu, offload, device, index
):
    pipeline = _Pipeline()
    model = DiffusionModel('x', 4, 0.0, offload=offload, device=device)
    model._place(pipeline)
    assert pipeline.devices == [torch.device('cuda', index)]


@pytest.mark.parametrize(
    'build',
    [
        lambda dtype: DiffusionModel('x', 4, 0.0, dtype=dtype),
        lambda dtype: TransformersWriter('x', dtype=dtype),
        lambda dtype: TransformersJudge('x', dtype=dtype),
    ],
)
def test_a_dtype_that_torch_has_not(build):
    for dtype in ('bf16', 'nn', None):
        with pytest.raises(ValueError, match=f'There is no dtype {dtype!r}'):
            build(dtype)
    assert build('float16').dtype == 'float16'
