"""Epochs of at least one iteration, and resuming with another length."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmtpr.engine.epoch_length import (
    EPOCH_LENGTH,
    epoch_length,
    fit_schedule,
    require_iterations,
)
from mmtpr.registry import HOOKS


@HOOKS.register_module()
class EpochLengthHook(Hook):
    """Stop where an epoch has no iteration; resume with another length.

    A checkpoint notes the iterations of an epoch. Where a run with another
    number resumes from it, after a change of batch size, data or processes,
    schedules in epochs are brought to the new number, and others stop the
    run.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Check that there is something to train on.

        Args:
            runner (Runner): The runner.
        """
        require_iterations(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note the length of an epoch.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): What is about to be saved.
        """
        length = epoch_length(runner)
        if length:
            checkpoint.setdefault('meta', {})[EPOCH_LENGTH] = length

    def after_load_checkpoint(
        self, runner: Runner, checkpoint: dict[str, Any]
    ) -> None:
        """Bring the schedule of a resumed run to this run's length.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): What was read.
        """
        if runner._resume and 'message_hub' in checkpoint:  # no bare weights
            fit_schedule(runner, checkpoint)
