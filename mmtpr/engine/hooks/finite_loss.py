"""Stop a training that has gone wrong."""

from typing import Any

import torch
from mmengine.hooks import Hook

from mmtpr.engine.resume import find_resume_checkpoint
from mmtpr.registry import HOOKS
from mmtpr.utils.errors import NonFiniteLossError
from mmtpr.utils.sharded import is_sharded
from mmtpr.utils.unwrap import unwrap


@HOOKS.register_module()
class StopOnNonFiniteLossHook(Hook):
    """Stop at the first loss that is NaN or infinite, naming it.

    The check follows the step (mmengine computes loss and step in one call),
    so the weights in memory may be spoiled already. What is on disk is not:
    the error is raised before any checkpoint is written, and before each
    checkpoint the trainable weights are checked as well, whatever the
    interval.

    In several processes the first that sees a bad loss stops, and the
    launcher ends the others.

    Args:
        interval (int): Check every so many iterations; 0 leaves only the
            check before checkpoints. A check waits for the device, but so
            does mmengine's logging of the losses in every iteration, so 1
            costs nothing on top. Defaults to 1.

    Raises:
        NonFiniteLossError: With iteration, epoch, losses by name and the
            last checkpoint.
        ValueError: If the interval is negative.

    Example:
        >>> default_hooks = dict(
        ...     finite_loss=dict(type='mmtpr.StopOnNonFiniteLossHook'))
    """

    # Before logging, EMA and checkpoints.
    priority = 'VERY_HIGH'

    def __init__(self, interval: int = 1) -> None:
        if interval < 0:
            raise ValueError(f'interval must be >= 0, got {interval}.')
        self.interval = interval

    def after_train_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict | None = None,
    ) -> None:
        """Check the losses of an iteration.

        Args:
            runner (Runner): The runner of the training process.
            batch_idx (int): Index of the batch.
            data_batch (Any): The batch.
            outputs (dict, optional): Losses by name.
        """
        if not outputs or not self.every_n_train_iters(runner, self.interval):
            return
        losses = {k: v for k, v in outputs.items() if _is_float(v)}
        if not losses or _all_finite(losses.values()):
            return
        raise NonFiniteLossError(
            f'Non-finite loss at {_position(runner)}: {_listing(losses)}. '
            f'{_advice(runner)}'
        )

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Refuse to write spoiled weights.

        Args:
            runner (Runner): The runner of the training process.
            checkpoint (dict): What is about to be saved.
        """
        model = unwrap(runner.model)
        saved = checkpoint.get('state_dict', {})
        weights = {
            n: saved.get(n, p) if is_sharded(p) else p
            for n, p in model.named_parameters()
            if _trains(p)
        }
        if not weights or _all_finite(weights.values()):
            return
        bad = [n for n, p in weights.items() if not _all_finite([p])]
        raise NonFiniteLossError(
            f'Non-finite weights at {_position(runner)}, nothing was saved: '
            f'{len(bad)} of {len(weights)} trainable parameters, first '
            f'"{bad[0]}". {_advice(runner)}'
        )


def _is_float(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return value.is_floating_point()
    return isinstance(value, float)


def _trains(parameter: torch.nn.Parameter) -> bool:
    return parameter.requires_grad and parameter.is_floating_point()


def _all_finite(values) -> bool:
    """Tell whether all values are finite, with one wait for the device."""
    flags = [torch.as_tensor(v).detach().isfinite().all() for v in values]
    device = next((f.device for f in flags if f.device.type != 'cpu'), 'cpu')
    return bool(torch.stack([f.to(device) for f in flags]).all())


def _position(runner) -> str:
    return (
        f'epoch {runner.epoch + 1}, iteration {runner.iter + 1} '
        f'(process {runner.rank})'
    )


def _listing(losses: dict) -> str:
    parts = (f'{k}={torch.as_tensor(v).mean():.6g}' for k, v in losses.items())
    return ', '.join(parts)


def _advice(runner) -> str:
    last = find_resume_checkpoint(runner.work_dir)
    where = (
        f'The last checkpoint, "{last}", is intact.'
        if last
        else 'No checkpoint has been written yet.'
    )
    return (
        f'{where} Look at the data of this step, lower the learning rate or '
        'clip gradients (optim_wrapper.clip_grad), or train without --amp.'
    )
