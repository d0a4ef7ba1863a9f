"""A runner that says in short what the log file has in full."""

from collections.abc import Mapping
from typing import Any

from mmengine.logging import MMLogger
from mmengine.runner import Runner
from torch import nn
from torch.optim import Optimizer

from mmtpr.utils.console import hide_from_console
from mmtpr.utils.unwrap import unwrap

from .sharded_checkpoints import (
    check_parts,
    collect,
    is_spread,
    spread,
    spread_moments,
)

#: Environment, config, order of hooks; a line for each parameter.
_LONG = (
    r'\n-+\nSystem environment:|Config:\n|Hooks will be executed|'
    r'paramwise_options -- |\S+ is skipped since its requires_grad'
)


#: Keys of schedules for parts that not all models of theirs have.
_OPTIONAL = (
    *('losses.id', 'losses.mlm'),
    *('lora_', '.magnitude', '.alpha', '.beta'),
)


class BriefRunner(Runner):
    """mmengine's runner with a short console and a full log file.

    Environment, config, order of hooks and the options of each parameter
    stand in the log file alone. In their place the console has the name of
    that file and the groups of parameters. Arguments are those of
    :class:`mmengine.runner.Runner`.
    """

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the logger.

        Args:
            *args (Any): See mmengine.
            **kwargs (Any): See mmengine.

        Returns:
            MMLogger: The logger.
        """
        logger = super().build_logger(*args, **kwargs)
        hide_from_console(logger, _LONG)
        logger.info(
            'Environment, config, order of hooks and options of parameters '
            f'are in "{logger.log_file}".'
        )
        return logger

    def build_optim_wrapper(self, optim_wrapper: Any) -> Any:
        """Build the optimizer wrapper and log its groups of parameters.

        Args:
            optim_wrapper (Any): See mmengine.

        Returns:
            OptimWrapper | OptimWrapperDict: The wrapper.
        """
        wrapper = super().build_optim_wrapper(optim_wrapper)
        optimizer = getattr(wrapper, 'optimizer', None)
        if optimizer is not None and is_spread(self.model):
            optimizer.register_load_state_dict_pre_hook(spread_moments)
        if optimizer is not None:
            warn_of_idle_keys(optim_wrapper, unwrap(self.model), self.logger)
            self.logger.info(describe_groups(optimizer, unwrap(self.model)))
        return wrapper

    def _init_model_weights(self) -> None:
        """Leave a spread model alone: it was initialised while whole."""
        if not is_spread(self.model):
            super()._init_model_weights()

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        """Call hooks; what they see of a checkpoint is whole.

        Args:
            fn_name (str): Name of the hooks' method.
            **kwargs (Any): Its arguments.
        """
        spread_out = is_spread(self.model)
        if spread_out and fn_name == 'before_run':
            loops = self._val_loop, self._test_loop
            check_parts(self.model, self._hooks, loops)
        if spread_out and fn_name == 'before_save_checkpoint':
            kwargs['checkpoint'].update(self._collected)
        super().call_hook(fn_name, **kwargs)
        if spread_out and fn_name == 'after_load_checkpoint':
            spread(kwargs['checkpoint'], self.model)

    def save_checkpoint(
        self, *args: Any, save_optimizer: bool = True, **kwargs: Any
    ) -> None:
        """Save a checkpoint; all processes together collect a spread model.

        Args:
            *args (Any): See mmengine.
            save_optimizer (bool): Whether its state is saved. Defaults to
                True.
            **kwargs (Any): See mmengine.
        """
        if is_spread(self.model):
            optimizer = self.optim_wrapper if save_optimizer else None
            self._collected = collect(self.model, optimizer)
        kwargs['save_optimizer'] = save_optimizer
        super().save_checkpoint(*args, **kwargs)
        self._collected = {}
        if is_spread(self.model) and not self.model.training:
            self.model.collect_parts()


def warn_of_idle_keys(
    optim_wrapper: Any, model: nn.Module, logger: MMLogger
) -> None:
    """Tell of ``custom_keys`` that name no parameter that trains.

    Args:
        optim_wrapper (dict | OptimWrapper): As the config has it.
        model (nn.Module): The model.
        logger (MMLogger): Where to tell.
    """
    if not isinstance(optim_wrapper, Mapping):
        return
    keys = (optim_wrapper.get('paramwise_cfg') or {}).get('custom_keys') or {}
    names = [n for n, p in model.named_parameters() if p.requires_grad]
    idle = [k for k in keys if not any(k in name for name in names)]
    if idle := [key for key in idle if key not in _OPTIONAL]:
        told = ' or '.join(f'"{key}"' for key in idle)
        logger.warning(
            'custom_keys of optim_wrapper.paramwise_cfg: no parameter that '
            f'trains has {told} in its name. Correct or remove such keys.'
        )


def describe_groups(optimizer: Optimizer, model: nn.Module) -> str:
    """Count what trains at which rate and with which decay.

    Args:
        optimizer (Optimizer): With any number of groups.
        model (nn.Module): Whose parameters it has.

    Returns:
        str: A line for each pair of rate and decay with the number of tensors
        and parameters and one of their names, and a line for what is frozen.
    """
    names = {id(p): name for name, p in model.named_parameters()}
    groups: dict[str, list[nn.Parameter]] = {}
    for group in optimizer.param_groups:
        kind = ', '.join(
            _setting(key, group, optimizer.defaults)
            for key in ('lr', 'weight_decay')
            if key in group
        )
        groups.setdefault(kind, []).extend(group['params'])
    # mmengine hands frozen parameters on where no option tells them apart.
    frozen = [p for p in model.parameters() if not p.requires_grad]
    lines = ['Groups of parameters:']
    for kind, parameters in groups.items():
        trained = [p for p in parameters if p.requires_grad]
        if trained:
            name = names.get(id(trained[0]), 'no part of the model')
            lines.append(f'  {kind}: {_count(trained)}, e.g. {name}')
    if frozen:
        lines.append(f'  frozen: {_count(frozen)}')
    return '\n'.join(lines)


def _setting(key: str, group: Mapping, defaults: Mapping) -> str:
    """A value of a group and what it is of the optimizer's own."""
    value, base = float(group[key]), defaults.get(key)
    times = f' (x{value / base:g})' if base else ''
    return f'{key} {value:.4g}{times}'


def _count(parameters: list[nn.Parameter]) -> str:
    total = sum(p.numel() for p in parameters)
    return f'{len(parameters)} tensors, {total:,} parameters'
