"""Adapters around a module from a config."""

from collections.abc import Sequence
from typing import Any

from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from mmtpr.models.freezing import rest_frozen
from mmtpr.registry import MODELS
from mmtpr.utils.console import init_quietly
from mmtpr.utils.leftovers import refuse_leftovers
from mmtpr.utils.mmpretrain_state import check_mmpretrain_types

from .freeze import freeze_except_adapters
from .inject import inject_adapters
from .merge import merge_adapters, unmerge_adapters
from .stale import renew_stale_norms
from .state import adapter_state_dict, named_adapters


def _build(module: Any) -> nn.Module:
    """Build a module and put its pretrained weights in."""
    if not isinstance(module, nn.Module):
        check_mmpretrain_types(module)
        module = MODELS.build(module)
    elif not isinstance(module, BaseModule):
        # Timm's models have a method of this name too: it is for random
        # weights, and those of a finished model would be lost.
        return module
    initialised = getattr(module, 'is_init', False)
    if hasattr(module, 'init_weights') and not initialised:
        init_quietly(module)
    return module


def _recompute(module: Any) -> None:
    if not hasattr(module, 'set_grad_checkpointing'):
        raise ValueError(
            f'grad_checkpointing=True: {type(module).__name__} has no '
            'set_grad_checkpointing. Set its own switch in module=dict(...), '
            'with_cp=True in mmpretrain, if it is not the reentrant kind, '
            'which loses gradients below frozen layers.'
        )
    module.set_grad_checkpointing(True)


def _before_saving(model: 'AdapterModel', *_: Any) -> None:
    renew_stale_norms(model.module)


@MODELS.register_module()
@refuse_leftovers
class AdapterModel(BaseModule):
    r"""A module whose layers are adapted and whose rest is frozen.

    It stands wherever the module stood: as ``backbone`` of a classifier, as
    ``encoder`` of a retriever, or around a whole model given to the Runner.
    Calls go to the module, and so does every attribute this class does not
    have (``train_step``, ``data_preprocessor``, ``encode_image``, ...).

    The module is built and its ``init_weights`` run *before* injection, so
    pretrained weights are in when magnitudes are taken from them; later calls
    of ``init_weights`` change nothing. State-dict keys are the module's under
    ``module.``, those of adapted layers under ``<layer>.linear``. Loading a
    state dict whose adapter keys do not fit raises, also in mmengine's
    non-strict loading; a file with adapters only is fine.

    Frozen batch norms keep their statistics while training.

    Args:
        module (dict | nn.Module): The module or its config.
        adapter (dict): ``type`` (``'WoRA'``, ``'DoRA'``, ``'LoRA'`` or
            ``'OFT'``) and options of the adapter, e.g. ``rank=8``.
        targets (Sequence[dict]): What to adapt; see
            :func:`inject_adapters`. Names are relative to the module.
        exclude (Sequence[str]): Patterns of layers to leave alone.
        trainable (Sequence[str]): Patterns of parameters or submodules that
            train too; see :func:`freeze_except_adapters`.
        grad_checkpointing (bool): Whether the module recomputes activations
            in the backward pass to save memory. Defaults to False: as the
            module is built.

    Raises:
        ValueError: If a target or a trainable pattern matches nothing, or
            the module cannot recompute.

    Examples:
        >>> model = dict(
        ...     type='mmtpr.AdapterModel',
        ...     adapter=dict(type='DoRA', rank=8, alpha=8.0),
        ...     module=dict(type='mmtpr.OpenCLIPEncoder', model='ViT-B-16'),
        ...     targets=[dict(type=r'clip\.visual\..*\.attn\.(q|v)')],
        ...     trainable=[r'clip\.visual\..*\.ln_\d'],
        ... )
    """

    #: For :func:`merge_adapters`: there is a plain ``module`` to put here.
    wraps_adapted_module = True

    def __init__(
        self,
        module: dict | nn.Module,
        adapter: dict,
        targets: Sequence[dict],
        exclude: Sequence[str] = (),
        trainable: Sequence[str] = (),
        grad_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        module = _build(module)
        if grad_checkpointing:
            _recompute(module)
        self.adapted_layers = inject_adapters(
            module, adapter, targets, exclude
        )
        freeze_except_adapters(module, trainable)
        self.module = module
        self.register_state_dict_pre_hook(_before_saving)
        total = sum(p.numel() for p in module.parameters())
        trained = sum(
            p.numel() for p in module.parameters() if p.requires_grad
        )
        print_log(
            f'{type(self).__name__}: {len(self.adapted_layers)} layers '
            f'adapted, {trained:,} of {total:,} parameters train '
            f'({trained / total:.2%}).',
            logger='current',
        )

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == 'module' or name.startswith('_'):
                raise
        return getattr(self.module, name)

    def forward(self, *args, **kwargs) -> Any:
        """Call the module."""
        return self.module(*args, **kwargs)

    def init_weights(self) -> None:
        """Initialise nothing, but check that no one else did.

        Raises:
            RuntimeError: If the weights below the adapters were overwritten
                since injection, e.g. by ``init_cfg`` of a parent module.
        """
        changed = [
            name
            for name, adapter in named_adapters(self.module)
            if not adapter.is_intact()
        ]
        if changed:
            raise RuntimeError(
                'The pretrained weights below these adapters were '
                f'overwritten after injection: {", ".join(changed[:5])}. '
                'The init_cfg of a parent module does that, as many stock '
                'configs have one: set init_cfg=None there, e.g. '
                'model=dict(init_cfg=None, ...).'
            )
        self.is_init = True

    def train(self, mode: bool = True) -> 'AdapterModel':
        """Set the mode; frozen batch norms stay in evaluation.

        Norms of frozen weights that were changed unnoticed are renewed.

        Args:
            mode (bool): Whether to train. Defaults to True.

        Returns:
            AdapterModel: Itself.
        """
        super().train(mode)
        norms = (m for m in self.module.modules() if isinstance(m, _NormBase))
        rest_frozen(norm for norm in norms if norm.affine)
        renew_stale_norms(self.module)
        return self

    def adapter_state_dict(self) -> dict:
        """The adapters' own tensors, with keys relative to this model.

        Returns:
            dict: See :func:`adapter_state_dict`.
        """
        return adapter_state_dict(self)

    def merge(self) -> None:
        """Merge the adapters; :meth:`unmerge` restores bit for bit."""
        merge_adapters(self)

    def unmerge(self) -> None:
        """Take the adapters out of the weights again."""
        unmerge_adapters(self)


@MODELS.register_module()
@refuse_leftovers
class WoRAModel(AdapterModel):
    r"""A module adapted by WoRA: the :class:`AdapterModel` most used here.

    Takes the arguments of mmpretrain's ``LoRAModel``, so that a user swaps
    the type. Unlike there, ``targets`` match whole names only.

    Scalars and magnitudes should not decay, see :class:`WoRALinear`.

    Args:
        module (dict | nn.Module): The module or its config.
        alpha (float): Start of alpha. Defaults to 8.0.
        rank (int): Rank of the change. Defaults to 8.
        drop_rate (float): Dropout of the low-rank path. Defaults to 0.0.
        targets (Sequence[dict]): What to adapt; each may override ``alpha``,
            ``rank``, ``beta``, ``drop_rate``.
        beta (float): Start of beta. Defaults to 1.0.
        norm_dim (str): ``'in'`` or ``'out'``. Defaults to ``'in'``.
        detach_norm (bool): Whether the norm is a constant for the gradient.
            Defaults to False.
        dropout (float, optional): Another name of ``drop_rate``.
        rslora (bool): Whether alpha starts divided by the root of the rank.
            Defaults to False.
        exclude (Sequence[str]): Patterns of layers to leave alone.
        trainable (Sequence[str]): Patterns of what trains too.
        grad_checkpointing (bool): See :class:`AdapterModel`.

    Examples:
        >>> encoder = dict(
        ...     type='mmtpr.WoRAModel',
        ...     module=dict(type='mmtpr.OpenCLIPEncoder', model='ViT-B-16'),
        ...     rank=8,
        ...     targets=[
        ...         dict(type=r'clip\.visual\..*\.mlp\.c_(fc|proj)'),
        ...         dict(type=r'clip\.visual\..*\.attn\..*', rank=4),
        ...     ],
        ...     trainable=[r'clip\.transformer', r'clip\.visual\.ln_.*'],
        ... )
    """

    def __init__(
        self,
        module: dict | nn.Module,
        alpha: float = 8.0,
        rank: int = 8,
        drop_rate: float = 0.0,
        targets: Sequence[dict] = (),
        *,
        beta: float = 1.0,
        norm_dim: str = 'in',
        detach_norm: bool = False,
        dropout: float | None = None,
        rslora: bool = False,
        exclude: Sequence[str] = (),
        trainable: Sequence[str] = (),
        grad_checkpointing: bool = False,
    ) -> None:
        adapter = dict(
            type='WoRA',
            rank=rank,
            alpha=alpha,
            beta=beta,
            norm_dim=norm_dim,
            detach_norm=detach_norm,
            dropout=drop_rate if dropout is None else dropout,
            rslora=rslora,
        )
        super().__init__(
            *(module, adapter, targets, exclude, trainable),
            grad_checkpointing,
        )
