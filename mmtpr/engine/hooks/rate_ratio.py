"""Check that schedules keep the ratio of rates that LoRA+ sets."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner

from mmtpr.registry import HOOKS
from mmtpr.utils.errors import LaunchError
from mmtpr.utils.warn import warn


@HOOKS.register_module()
class RateRatioHook(Hook):
    """Stop or warn where a schedule gives all parameters one rate.

    A schedule that multiplies rates keeps the ratio of
    :class:`LoRAPlusOptimWrapperConstructor`. ``OneCycleLR`` sets them to its
    ``eta_max``, which is LoRA without the plus: that stops. An ``eta_min``
    that is an absolute rate is the end of all of them, so the ratio shrinks to
    1 on the way there: a WARNING. Of several optimizers each is looked at with
    the schedules of its own. Those without that constructor are not.
    """

    priority = 'VERY_LOW'

    def before_train(self, runner: Runner) -> None:
        """Look at the schedules.

        Args:
            runner (Runner): The runner.

        Raises:
            LaunchError: If one takes the ratio away.
        """
        wrappers = runner.optim_wrapper
        if not isinstance(wrappers, OptimWrapperDict):
            _check(wrappers, runner.param_schedulers)
            return
        given: Any = runner.param_schedulers
        for name, wrapper in wrappers.items():
            # Schedules that are not by name are for all.
            _check(
                wrapper, given.get(name) if isinstance(given, dict) else given
            )


def _check(wrapper: Any, schedulers: Any) -> None:
    """Look at the schedules of an optimizer."""
    ratio = getattr(wrapper, 'lora_plus_ratio', 1.0)
    if ratio == 1:
        return
    for scheduler in schedulers or ():
        if getattr(scheduler, 'param_name', 'lr') != 'lr':
            continue
        name, most, least = type(scheduler).__name__, *_bounds(scheduler)
        if most:
            raise LaunchError(
                f'{name} sets the rate of all parameters by '
                f'eta_max={most:g}, so that lora_plus_ratio={ratio:g} '
                'would be lost. Take schedules that multiply rates, such '
                'as LinearLR and CosineAnnealingLR with eta_min_ratio, or '
                'NoDecayOptimWrapperConstructor.'
            )
        if least:
            warn(
                f'{name} ends at the rate {least:g} for all parameters: '
                f'lora_plus_ratio={ratio:g} shrinks to 1 on the way '
                'there. eta_min_ratio, where a schedule has it, keeps the '
                'ratio.'
            )


def _bounds(scheduler: Any) -> tuple[float, float]:
    """The highest and the lowest rate that are the same for all."""
    most = getattr(scheduler, 'eta_max', None) or 0.0
    least = getattr(scheduler, 'eta_min', None) or 0.0
    floors = getattr(scheduler, 'min_values', None) or [0.0]
    return most, max(least, *floors)
