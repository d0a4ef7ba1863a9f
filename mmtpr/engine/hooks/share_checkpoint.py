"""Weights at shares of a training, for scorers that stopped early."""

import math
from collections.abc import Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmtpr.registry import HOOKS
from mmtpr.utils.atomic_backend import ATOMIC_BACKEND


@HOOKS.register_module()
class ShareCheckpointHook(Hook):
    """Keep the weights after some shares of all iterations.

    A model learns what is right in its data before it learns what is wrong,
    so one that stopped early may tell wrong pairs better, and a pair whose
    place changes while the model learns is a suspect. The files,
    ``share_020.pth`` after 20 %, hold weights alone and go into the work dir.

    Args:
        shares (Sequence[float]): Above 0 and below 1; the end of training has
            a checkpoint anyway. Defaults to 0.2, 0.4, 0.6 and 0.8.

    Raises:
        ValueError: If a share is out of range or given twice.

    Example:
        >>> custom_hooks = [
        ...     dict(type='mmtpr.ShareCheckpointHook', shares=[0.2, 0.4]),
        ... ]
    """

    priority = 'VERY_LOW'

    def __init__(self, shares: Sequence[float] = (0.2, 0.4, 0.6, 0.8)) -> None:
        wrong = [share for share in shares if not 0 < share < 1]
        if wrong or not shares:
            raise ValueError(
                'ShareCheckpointHook needs shares above 0 and below 1, got '
                f'{wrong[0] if wrong else "none"}.'
            )
        names = [_name(share) for share in shares]
        if len(set(names)) < len(names):
            raise ValueError(
                'ShareCheckpointHook names files by whole percents, and two '
                f'of {list(shares)} have the same.'
            )
        self.shares = tuple(shares)

    def before_train(self, runner: Runner) -> None:
        """Find the iterations at which to save.

        Args:
            runner (Runner): The runner.

        Raises:
            ValueError: If there are fewer iterations than shares.
        """
        total = runner.max_iters
        # 0.3 * 10 is a little above 3.
        self._names = {
            max(1, math.ceil(share * total - 1e-9)): _name(share)
            for share in self.shares
        }
        if len(self._names) < len(self.shares):
            raise ValueError(
                f'ShareCheckpointHook cannot tell {len(self.shares)} shares '
                f'apart in {total} iterations.'
            )

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        """Save where a share is done.

        Args:
            runner (Runner): The runner.
            batch_idx (int): Not used.
            data_batch (Any): Not used.
            outputs (Any): Not used.
        """
        done = runner.iter + 1
        if done not in self._names:
            return
        name = self._names[done]
        runner.logger.info(
            f'Saving weights after {done} of {runner.max_iters} iterations '
            f'as {name}'
        )
        runner.save_checkpoint(
            runner.work_dir,
            name,
            save_optimizer=False,
            save_param_scheduler=False,
            by_epoch=False,
            backend_args=dict(backend=ATOMIC_BACKEND),
        )


def _name(share: float) -> str:
    return f'share_{round(100 * share):03d}.pth'
