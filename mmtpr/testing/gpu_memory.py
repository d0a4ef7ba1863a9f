"""Memory that a training step of a config takes on a GPU, without one.

The model of the config is built at its real size on the meta device, and a
step of its own ``train_step`` runs on the pretended GPU without numbers; what
is alive is counted, see :mod:`mmtpr.testing.pretended_gpu.hollow`. Whatever
the pool of an allocator wastes and the libraries of CUDA need is beyond it.
"""

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from torch.overrides import TorchFunctionMode

from mmtpr.checkpoints.spared_files import without_weights
from mmtpr.registry import DATASETS, MODELS
from mmtpr.structures import collate_samples
from mmtpr.utils.errors import LaunchError

from .configs import shrink_config
from .pretended_gpu import NAME, PretendedGPU
from .pretended_gpu.gpu_kernels import gpu_kernels
from .tiny_blip2 import write_tiny_vocab
from .tiny_data import write_tiny_data

#: Sizes of GPUs that are sold, in GiB.
SIZES = (16, 24, 40, 80)
_MAKERS = (torch.zeros, torch.ones, torch.full, torch.empty)
_INTEGERS = (torch.long, torch.int, torch.bool, torch.uint8)


@dataclass
class StepMemory:
    """Bytes of a training step.

    Attributes:
        dtype (str): Type it computes in.
        checkpointing (bool): Whether activations are recomputed.
        parameters (int): Parameters and buffers.
        gradients (int): Gradients of what trains.
        optimizer (int): State of the optimizer, such as Adam's moments.
        activations (int): What is kept for the backward pass, with the batch.
        peak (int): The most that is held at once, all of it together.
    """

    dtype: str
    checkpointing: bool
    parameters: int
    gradients: int
    optimizer: int
    activations: int
    peak: int

    def fits(self) -> int | None:
        """Find the smallest GPU that will do.

        A tenth goes to what the allocator cannot use, half a GiB to CUDA.

        Returns:
            int | None: Its size of :data:`SIZES`, None if none will.
        """
        needed = 1.1 * self.peak / 2**30 + 0.5
        return next((size for size in SIZES if needed <= size), None)


def estimate_memory(
    cfg: Config,
    batch_size: int | None = None,
    dtypes: tuple[str, ...] = ('float32', 'bfloat16'),
) -> list[StepMemory]:
    """Count what a training step holds, with and without recomputation.

    Args:
        cfg (Config): The config. Files of weights are not read.
        batch_size (int, optional): Samples a GPU. Defaults to None: that of
            the config.
        dtypes (tuple[str, ...]): What to compute in.

    Returns:
        list[StepMemory]: One for each type, without and with recomputation.

    Raises:
        LaunchError: If the config trains no encoder.
        RuntimeError: If this torch cannot be told of a pretended GPU.
    """
    loader = cfg.get('train_dataloader') or {}
    if not loader or cfg.get('optim_wrapper') is None:
        raise LaunchError('The config trains nothing: it has no step to size.')
    if 'CachedFeature' in str(loader['dataset']['type']):
        raise LaunchError(
            'The config trains on cached features, without its encoder: a '
            'step takes a few MiB. Give the config that trains the encoder.'
        )
    size = batch_size or loader['batch_size']
    with quiet_building(), TemporaryDirectory() as folder:
        gpu = PretendedGPU(hollow=True)
        model = _build(cfg, folder)
        batch = draw_batch(cfg, model, size, folder)
        with gpu, gpu_kernels():
            model.to(NAME).train()
            return [
                _measure(gpu, model, batch, cfg.optim_wrapper, dtype, again)
                for dtype in dtypes
                for again in (False, True)
            ]


@contextmanager
def quiet_building() -> Iterator[None]:
    """Keep notes of building out of the table; they are those of training."""
    logger = MMLogger.get_current_instance()
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


class _WithNumbers(TorchFunctionMode):
    """Keeps small tensors that a model is built by off the meta device."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if (
            func in (torch.linspace, torch.arange)
            or (func is torch.tensor and args[0] != [])
            or (func in _MAKERS and kwargs.get('dtype') in _INTEGERS)
        ):
            kwargs['device'] = 'cpu'
        return func(*args, **kwargs)


def _build(cfg: Config, folder: str) -> Any:
    """Build the model at its real size, without memory and files."""
    plain = without_weights(cfg.model.to_dict())
    for loss in (plain.get('losses') or {}).values():
        if 'vocab' in loss:  # only the length of its sentences matters
            loss['vocab'] = write_tiny_vocab(Path(folder) / 'words.txt')
    with _WithNumbers(), torch.device('meta'):
        model = MODELS.build(plain)
    if not hasattr(getattr(model, 'encoder', None), 'set_grad_checkpointing'):
        raise LaunchError(
            f'{type(model).__name__} has no encoder that can recompute its '
            'activations: a retriever of mmtpr is wanted.'
        )
    return model


def draw_batch(
    cfg: Config, model: Any, size: int, folder: str
) -> dict[str, Any]:
    """Make a training batch by the config's pipeline, from drawn images.

    Args:
        cfg (Config): The config.
        model (nn.Module): Its model, whose encoder knows the size of images.
        size (int): Samples.
        folder (str): Where the images go.

    Returns:
        dict: For the data preprocessor.
    """
    data = write_tiny_data(folder)
    small = shrink_config(cfg, data, tuple(model.encoder.image_size))
    dataset = small.train_dataloader.dataset
    _set_lengths(dataset, getattr(model.encoder, 'context_length', None))
    built = DATASETS.build(dataset)
    some = [built[i] for i in range(min(len(built), size))]
    return collate_samples(
        [copy.deepcopy(some[i % len(some)]) for i in range(size)]
    )


def _set_lengths(node: Any, length: int | None) -> None:
    """Make captions as long as the encoder reads them."""
    if isinstance(node, dict):
        if 'TokenizeCaption' in str(node.get('type')):
            node['context_length'] = length
        node = list(node.values())
    for value in node if isinstance(node, list | tuple) else ():
        _set_lengths(value, length)


def _measure(
    gpu: Any, model: Any, batch: dict, wrapper: Any, dtype: str, again: bool
) -> StepMemory:
    """Run a step whose optimizer has its state already."""
    memory = gpu.memory
    model.encoder.set_grad_checkpointing(again)
    held = memory.now
    wrapper = dict(copy.deepcopy(wrapper))
    if dtype != 'float32':
        wrapper.update(type='AmpOptimWrapper', dtype=dtype)
        wrapper.update(loss_scale=dict(enabled=False))
    optim_wrapper = build_optim_wrapper(model, wrapper)
    trained = [p for p in model.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.grad = torch.empty_like(parameter)
    optim_wrapper.optimizer.step()
    optim_wrapper.zero_grad()
    ready = memory.peak = memory.now
    forward = model.parse_losses
    kept = []

    def parse_losses(losses: dict) -> Any:
        kept.append(memory.now - ready)
        return forward(losses)

    model.parse_losses = parse_losses
    try:
        model.train_step(copy.deepcopy(batch), optim_wrapper)
    finally:
        del model.parse_losses
    return StepMemory(
        dtype=dtype,
        checkpointing=again,
        parameters=held,
        gradients=sum(p.numel() * p.element_size() for p in trained),
        optimizer=ready - held,
        activations=kept[0],
        peak=memory.peak,
    )
