"""Optimizer constructor that spares parameters from weight decay."""

from collections.abc import Iterator

from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from mmtpr.registry import OPTIM_WRAPPER_CONSTRUCTORS

_NORMS = (nn.LayerNorm, nn.GroupNorm, _NormBase)
#: Last parts of names: adapters, Swin's positions, temperatures.
_NO_DECAY = (
    *('magnitude', 'alpha', 'beta'),
    *('relative_position_bias_table', 'temperature', 'logit_scale'),
)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class NoDecayOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's constructor, with a say on decay that always counts.

    In mmengine a parameter named by ``custom_keys`` is exempt from the other
    rules, so that a part with a learning rate of its own decays whole. Here
    ``custom_keys`` decide on rates, and biases, norms, magnitudes and scalars
    of adapters, relative positions and temperatures never decay. Weights that
    two layers share are listed once.

    Args:
        optim_wrapper_cfg (dict): Config of the optimizer wrapper.
        paramwise_cfg (dict, optional): As in mmengine, and ``no_decay``
            (Sequence[str]): last parts of the names of parameters that do not
            decay besides biases and norms.

    Examples:
        >>> optim_wrapper = dict(
        ...     constructor='mmtpr.NoDecayOptimWrapperConstructor',
        ...     optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.01),
        ...     paramwise_cfg=dict(
        ...         custom_keys={'itm_head': dict(lr_mult=2.0)}))
    """

    def __init__(
        self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None
    ) -> None:
        paramwise_cfg = dict(paramwise_cfg or {}, bypass_duplicate=True)
        self.no_decay = tuple(paramwise_cfg.pop('no_decay', _NO_DECAY))
        super().__init__(optim_wrapper_cfg, paramwise_cfg)

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
        """
        super().add_params(params, module, prefix, is_dcn_module)
        if prefix:
            return
        exempt = set(self._exempt(module))
        number = 0
        for group in params:
            if id(group['params'][0]) in exempt:
                group['weight_decay'] = 0.0
                number += 1
        print_log(
            f'{number} of {len(params)} parameters do not decay.',
            logger='current',
        )

    def _exempt(self, model: nn.Module) -> Iterator[int]:
        for module in model.modules():
            is_norm = isinstance(module, _NORMS)
            for name, parameter in module.named_parameters(recurse=False):
                if is_norm or name == 'bias' or name in self.no_decay:
                    yield id(parameter)
