"""Optimizer constructor with a higher rate for the factor B of adapters."""

from typing import Any

from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from torch import nn

from mmtpr.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmtpr.utils.numbers import is_number

from .no_decay_constructor import NoDecayOptimWrapperConstructor


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LoRAPlusOptimWrapperConstructor(NoDecayOptimWrapperConstructor):
    """LoRA+: the factor B learns faster than the factor A.

    B starts at 0 and A does not, so that one rate for both is too low for B
    in wide layers (`LoRA+: Efficient Low Rank Adaptation of Large Models
    <https://arxiv.org/abs/2402.12354>`_). Every ``lora_B`` gets the rate that
    the other options give it, times ``lora_plus_ratio``; all else, decay
    included, is as in :class:`NoDecayOptimWrapperConstructor`. The ratio is
    in the parameter groups, so checkpoints resume, and schedules that multiply
    rates keep it. ``OneCycleLR``, and ``eta_min`` as an absolute rate, set all
    rates alike and do not; see :class:`RateRatioHook`.

    Args:
        optim_wrapper_cfg (dict): Config of the optimizer wrapper.
        paramwise_cfg (dict, optional): As in
            :class:`NoDecayOptimWrapperConstructor`, and ``lora_plus_ratio``
            (float): rate of B over that of A, >= 1. Defaults to 16, the
            value of the paper.

    Raises:
        ValueError: If the ratio is below 1, the model trains no
            ``lora_B``, or the optimizer has no ``lr``.

    Examples:
        >>> optim_wrapper = dict(
        ...     constructor='mmtpr.LoRAPlusOptimWrapperConstructor',
        ...     optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.01),
        ...     paramwise_cfg=dict(
        ...         lora_plus_ratio=16.0,
        ...         custom_keys={'lora_': dict(lr_mult=2.0)}))
    """

    def __init__(
        self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None
    ) -> None:
        paramwise_cfg = dict(paramwise_cfg or {})
        ratio = paramwise_cfg.pop('lora_plus_ratio', 16.0)
        if not is_number(ratio) or ratio < 1:
            raise ValueError(
                'lora_plus_ratio, the rate of B over that of A, must be a '
                f'number >= 1, got {ratio!r}.'
            )
        self.lora_plus_ratio = float(ratio)
        super().__init__(optim_wrapper_cfg, paramwise_cfg)

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the wrapper.

        Args:
            model (nn.Module): The model.

        Returns:
            OptimWrapper: It, with the ratio as ``lora_plus_ratio``.
        """
        wrapper: Any = super().__call__(model)
        wrapper.lora_plus_ratio = self.lora_plus_ratio
        return wrapper

    def add_params(
        self,
        params: list[dict],
        module: nn.Module,
        prefix: str = '',
        is_dcn_module: int | float | None = None,
    ) -> None:
        """Add the parameters of a module.

        Args:
            params (list[dict]): Parameter groups, added to in place.
            module (nn.Module): The module.
            prefix (str): Its name in the model. Defaults to '', the model.
            is_dcn_module (int | float, optional): See mmengine.

        Raises:
            ValueError: If the model trains no ``lora_B``.
        """
        super().add_params(params, module, prefix, is_dcn_module)
        if prefix:
            return
        factors = {
            id(parameter)
            for name, parameter in module.named_parameters()
            if name.rpartition('.')[2] == 'lora_B' and parameter.requires_grad
        }
        groups = [g for g in params if id(g['params'][0]) in factors]
        if not groups:
            raise ValueError(
                'LoRAPlusOptimWrapperConstructor: the model trains no lora_B, '
                'so there is nothing to speed up; take '
                'NoDecayOptimWrapperConstructor.'
            )
        for group in groups:
            rate: Any = group.get('lr', self.base_lr)
            if rate is None:
                raise ValueError(
                    'LoRAPlusOptimWrapperConstructor needs a rate to '
                    'multiply: set lr in optimizer=dict(...).'
                )
            group['lr'] = rate * self.lora_plus_ratio
        print_log(
            f'{len(groups)} factors B learn at {self.lora_plus_ratio:g} times '
            'the rate of their A.',
            logger='current',
        )
