"""Length of an epoch: at least one iteration, and a schedule that fits it."""

import logging
import warnings
from typing import Any

from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_world_size
from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop, Runner

from mmtpr.utils.errors import LaunchError

#: In the meta of a checkpoint: iterations of an epoch of its run.
EPOCH_LENGTH = 'epoch_length'


def epoch_length(runner: Runner) -> int | None:
    """Count the iterations of an epoch.

    Args:
        runner (Runner): The runner; its training data are loaded.

    Returns:
        int | None: Their number, None if the loader has no epochs.
    """
    loader = runner.train_loop.dataloader
    samplers = (loader.sampler, getattr(loader.batch_sampler, 'sampler', None))
    if any(isinstance(sampler, InfiniteSampler) for sampler in samplers):
        return None  # its length is none of an epoch
    try:
        return len(loader)
    except TypeError:
        return None


def require_iterations(runner: Runner) -> None:
    """Stop where an epoch would train nothing.

    Args:
        runner (Runner): The runner, before its training.

    Raises:
        LaunchError: If there are fewer samples than a batch needs and the
            rest is dropped.
    """
    if epoch_length(runner) != 0:
        return
    loader = runner.train_loop.dataloader
    samples, world = len(loader.dataset), get_world_size()
    batch = loader.batch_size or getattr(loader.batch_sampler, 'batch_size', 0)
    each = f' in each of {world} processes' if world > 1 else ''
    raise LaunchError(
        f'An epoch would have 0 iterations: {samples} samples make no batch '
        f'of {batch}{each}, and drop_last=True drops what is left. Set a '
        'smaller train_dataloader.batch_size, or '
        'train_dataloader.drop_last=False, or look at what a filter keeps.'
    )


def fit_schedule(runner: Runner, checkpoint: dict[str, Any]) -> None:
    """Bring a checkpoint of another epoch length to that of this run.

    Schedules in epochs go on from the same epoch; the learning rate becomes
    that of a run which had the new length from the start.

    Args:
        runner (Runner): The runner, about to resume.
        checkpoint (dict): What was read, changed in place.

    Raises:
        LaunchError: If the checkpoint lies within an epoch, or a schedule is
            in iterations, so that it cannot be converted.
    """
    meta = checkpoint.get('meta') or {}
    epoch, iteration = meta.get('epoch', 0), meta.get('iter', 0)
    former, length = _former_length(meta), epoch_length(runner)
    if former is None or length is None or former == length:
        return
    lengths = (
        f'The checkpoint is of a run with {former} iterations an epoch, now '
        f'there are {length} (another batch size, number of processes, or '
        'data)'
    )
    if not isinstance(runner.train_loop, EpochBasedTrainLoop):
        print_log(
            f'{lengths}; iterations go on to be counted from {iteration}.',
            logger='current',
            level=logging.WARNING,
        )
        return
    if iteration != epoch * former:
        raise LaunchError(
            f'{lengths}, and it was saved within epoch {epoch + 1}. Resume '
            'from a checkpoint at the end of an epoch, or with the former '
            'setting.'
        )
    _require_epochs(runner, lengths)
    print_log(
        f'{lengths}: epoch {epoch} is now iteration {epoch * length}, and the '
        'schedule is that of the new length.',
        logger='current',
        level=logging.WARNING,
    )
    meta['iter'] = epoch * length
    if checkpoint.get('param_schedulers'):
        _replay(runner, checkpoint, epoch, length)


def _former_length(meta: dict[str, Any]) -> int | None:
    """As the checkpoint says, or as its counts say."""
    if meta.get(EPOCH_LENGTH):
        return int(meta[EPOCH_LENGTH])
    epoch, iteration = meta.get('epoch', 0), meta.get('iter', 0)
    return iteration // epoch if epoch and iteration % epoch == 0 else None


def _require_epochs(runner: Runner, lengths: str) -> None:
    """Schedules must be in epochs, as written or converted."""
    written = runner.cfg.get('param_scheduler') or []
    written = [written] if isinstance(written, dict) else written
    for schedule in written:
        if isinstance(schedule, dict) and not schedule.get('by_epoch', True):
            raise LaunchError(
                f'{lengths}, but the schedule {schedule["type"]} counts '
                'iterations (by_epoch=False): what it should be now is not '
                'known. Resume with the former setting, or write it in epochs '
                'with convert_to_iter_based=True.'
            )


def _replay(
    runner: Runner, checkpoint: dict[str, Any], epoch: int, length: int
) -> None:
    """Step this run's fresh schedules as far as the checkpoint has come."""
    schedulers, optimizer = runner.param_schedulers, runner.optim_wrapper
    if isinstance(schedulers, dict) or not hasattr(optimizer, 'optimizer'):
        raise LaunchError(
            'Schedules of several optimizers cannot be brought to another '
            'length of an epoch. Resume with the former setting.'
        )
    if any('Plateau' in type(s).__name__ for s in schedulers):
        if all(s.by_epoch for s in schedulers):
            return  # they count epochs, and so does the checkpoint
        raise LaunchError(
            'A schedule that follows results of the validation, beside one '
            'that counts iterations, cannot be brought to another length of '
            'an epoch. Resume with the former setting.'
        )
    groups = optimizer.optimizer.param_groups
    with warnings.catch_warnings():
        # Torch minds that the optimizer makes no step meanwhile.
        warnings.simplefilter('ignore')
        for _ in range(epoch):
            for _ in range(length):
                _step(schedulers, by_epoch=False)
            _step(schedulers, by_epoch=True)
    checkpoint['param_schedulers'] = [s.state_dict() for s in schedulers]
    saved = checkpoint['optimizer'].get('param_groups', [])
    names = {getattr(s, 'param_name', 'lr') for s in schedulers}
    for own, group in zip(groups, saved, strict=False):
        group.update({n: own[n] for n in names if n in own and n in group})


def _step(schedulers: Any, by_epoch: bool) -> None:
    for scheduler in schedulers:
        if scheduler.by_epoch == by_epoch:
            scheduler.step()
