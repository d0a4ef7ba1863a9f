"""Training with parameters, gradients and moments spread over processes."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import broadcast, get_world_size
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import (
    CPUOffloadPolicy,
    FSDPModule,
    MixedPrecisionPolicy,
    OffloadPolicy,
    fully_shard,
)

from mmtpr.models.name_patterns import compile_patterns
from mmtpr.registry import MODEL_WRAPPERS
from mmtpr.utils.errors import LaunchError

#: Blocks of open_clip, of Swin, and of both parts of BLIP-2. Those of BERT in
#: a SwinBertEncoder are not called as modules.
_UNITS = (
    r'.*\.resblocks\.\d+',
    r'.*\.blocks\.\d+',
    r'.*\.vision_model\.encoder\.layers\.\d+',
    r'.*\.qformer\.encoder\.layer\.\d+',
)


@MODEL_WRAPPERS.register_module()
class FullyShardedDataParallel(nn.Module):
    """FSDP2 (``torch.distributed.fsdp.fully_shard``) for mmtpr's runner.

    Each process holds a part of every parameter, gradient and moment. Units
    are collected when they compute; frozen and trained parameters may share
    one, and float32 adapters may stand on a bfloat16 base. Parameters without
    a dimension (temperatures) stay whole, and their gradients are averaged.

    In evaluation mode every process holds the whole model, without gradients
    and moments: processes may have different numbers of batches then, and
    loops may call parts of the model by themselves.

    Args:
        module (nn.Module): The model, on its device. The runner gives it.
        units (Sequence[str], optional): Regular expressions of whole names of
            modules to collect at once, which the model must call as modules.
            The rest is one more unit. Defaults to None: transformer blocks.
        reshard_after_forward (bool, optional): Whether units are spread again
            before the backward pass, which saves memory and costs a second
            collection. Defaults to None: torch decides, yes for blocks.
        param_dtype (str, optional): Type in which parameters are collected,
            such as ``'bfloat16'``; the model computes under autocast then.
            Defaults to None: that of the parameters.
        reduce_dtype (str, optional): Type in which gradients are averaged.
            Defaults to None: that of the gradients.
        cpu_offload (bool): Whether parts wait on the CPU. Defaults to False.

    Raises:
        LaunchError: If torch is too old or a unit matches nothing.

    Example:
        >>> model_wrapper_cfg = dict(type='mmtpr.FullyShardedDataParallel')
    """

    def __init__(
        self,
        module: Any,
        units: Sequence[str] | None = None,
        reshard_after_forward: bool | None = None,
        param_dtype: str | None = None,
        reduce_dtype: str | None = None,
        cpu_offload: bool = False,
    ) -> None:
        super().__init__()
        if hasattr(module, 'init_weights'):
            module.init_weights()  # while weights are whole
        for tensor in (*module.parameters(), *module.buffers()):
            broadcast(tensor.data)
        scalars = {p for p in module.parameters() if not p.dim()}
        on_gpu = _device(module) != 'cpu'  # memory is pinned for one
        options: dict[str, Any] = dict(
            mesh=init_device_mesh(_device(module), (get_world_size(),)),
            reshard_after_forward=reshard_after_forward,
            mp_policy=MixedPrecisionPolicy(
                param_dtype=_dtype(param_dtype),
                reduce_dtype=_dtype(reduce_dtype),
                cast_forward_inputs=False,
            ),
            offload_policy=CPUOffloadPolicy(pin_memory=on_gpu)
            if cpu_offload
            else OffloadPolicy(),
            **_ignored(scalars),
        )
        found = _units(module, units)
        for part in reversed(found):  # what is inside comes first
            fully_shard(part, **options)
        self.module: Any = fully_shard(module, **options)
        self.param_dtype = _dtype(param_dtype)
        if self.param_dtype is not None:
            # Images are float32, and losses and norms are to stay so.
            computing = torch.autocast(_device(module), self.param_dtype)
            self.module.forward = computing(module.forward)
        # As torch understands None: the outermost unit is needed right again.
        self._reshards = reshard_after_forward is not False
        self._root_reshards = bool(reshard_after_forward)
        # What a runner of mmengine does next would fail in torch.
        module.init_weights = _refuse
        for scalar in scalars:
            if scalar.requires_grad:
                scalar.register_post_accumulate_grad_hook(_average)
        print_log(
            f'FullyShardedDataParallel: {len(found) + 1} units over '
            f'{get_world_size()} processes; {len(scalars)} parameters '
            'without a dimension stay whole.',
            logger='current',
        )

    def train(self, mode: bool = True) -> 'FullyShardedDataParallel':
        """Set the mode. All processes must call this at once.

        Args:
            mode (bool): Whether to train; otherwise the model is collected.
                Defaults to True.

        Returns:
            FullyShardedDataParallel: Itself.
        """
        ends = mode and not self.training
        super().train(mode)
        if ends:
            self._end_evaluation()
        if not mode:
            for part in self._parts():
                part.set_reshard_after_forward(False, recurse=False)
            self.collect_parts()
        return self

    def _end_evaluation(self) -> None:
        for part in self._parts():
            is_root = part is self.module
            again = self._root_reshards if is_root else self._reshards
            part.set_reshard_after_forward(again, recurse=False)
        self.spread_parts()
        # Torch collects in the reverse of this order in the next backward
        # pass, and processes have evaluated different numbers of batches.
        self._state()._comm_ctx.post_forward_order.clear()

    def collect_parts(self) -> None:
        """Collect all units. All processes must call this at once.

        What is collected already is collected again: a ``state_dict`` that
        one process asks for spreads the units of this process alone.
        """
        self.spread_parts()
        # Torch takes for the root what is collected first.
        self._state()._lazy_init()
        for part in self._parts():
            part.unshard()

    def spread_parts(self) -> None:
        """Spread what is collected; the parameters are the optimizer's."""
        for part in self._parts():
            part.reshard()

    def _state(self) -> Any:
        return self.module._get_fsdp_state()

    def _parts(self) -> list[FSDPModule]:
        return [m for m in self.modules() if isinstance(m, FSDPModule)]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the model."""
        return self.module(*args, **kwargs)

    def train_step(self, data: Any, optim_wrapper: Any) -> dict[str, Tensor]:
        """Train with a batch; see ``mmengine.model.BaseModel.train_step``.

        Args:
            data (Any): The batch.
            optim_wrapper (OptimWrapper): The optimizer.

        Returns:
            dict[str, Tensor]: Losses by name.
        """
        return self.module.train_step(data, optim_wrapper)

    def val_step(self, data: Any) -> list:
        """Predict in a validation.

        Args:
            data (Any): The batch.

        Returns:
            list: The samples.
        """
        return self.module.val_step(data)

    def test_step(self, data: Any) -> list:
        """Predict in a test.

        Args:
            data (Any): The batch.

        Returns:
            list: The samples.
        """
        return self.module.test_step(data)


def _refuse() -> None:
    raise LaunchError(
        'FullyShardedDataParallel needs the runner of mmtpr, which '
        'tools/train.py takes unless the config has a runner_type; elsewhere '
        'build it with mmtpr.engine.launch.build_runner(cfg).'
    )


def _device(module: nn.Module) -> str:
    return next(module.parameters()).device.type


def _dtype(name: str | None) -> torch.dtype | None:
    return None if name is None else getattr(torch, name)


def _ignored(scalars: set[nn.Parameter]) -> dict[str, Any]:
    if not scalars:
        return {}
    if 'ignored_params' not in inspect.signature(fully_shard).parameters:
        raise LaunchError(
            f'This model has {len(scalars)} parameters without a dimension, '
            f'which FSDP2 of torch {torch.__version__} cannot leave out: '
            'install a newer torch.'
        )
    return dict(ignored_params=scalars)


def _units(module: nn.Module, units: Sequence[str] | None) -> list[nn.Module]:
    patterns = compile_patterns(_UNITS if units is None else units, 'units')
    found: dict[str, nn.Module] = {
        name: part
        for name, part in module.named_modules()
        if name and any(p.fullmatch(name) for p in patterns)
    }
    idle = [p for p in patterns if not any(map(p.fullmatch, found))]
    if units is not None and idle:
        raise LaunchError(
            f'units of FullyShardedDataParallel: no module is called '
            f'"{idle[0].pattern}".'
        )
    return list(found.values())


def _average(parameter: Any) -> None:
    """Average a gradient over the processes, as FSDP does with the others."""
    torch.distributed.all_reduce(parameter.grad)
    parameter.grad /= get_world_size()
