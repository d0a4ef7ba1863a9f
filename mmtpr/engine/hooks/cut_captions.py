"""Tell how many captions training does not see whole."""

import logging
from collections.abc import Iterable
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from mmtpr.registry import HOOKS

#: Share of cut captions from which it is a warning.
_MANY = 0.01


@HOOKS.register_module()
class CutCaptionsHook(Hook):
    """Count the captions that the tokenizer cut, once, early in training.

    What stands behind the cut is not learned. The published sets have a few
    such captions; a set of one's own, or a text encoder of few tokens, may
    have them all.

    Args:
        iterations (int): Iterations after which it is said, or after the
            first epoch if that is shorter. Defaults to 50.
    """

    priority = 'VERY_LOW'

    def __init__(self, iterations: int = 50) -> None:
        self.iterations = iterations
        self._seen = self._cut = self._total = 0
        self._told = False

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        """Count those of a batch, in the first process.

        Args:
            runner (Runner): The runner.
            batch_idx (int): Number of the batch.
            data_batch (dict, optional): The batch.
            outputs (dict, optional): Not used.
        """
        if self._told:
            return
        flags = [*_flags(data_batch)]
        self._cut += sum(flags)
        self._total += len(flags)
        self._seen += 1
        if self._seen == self.iterations:
            self._tell()

    def after_train_epoch(self, runner: Runner) -> None:
        """Say it after a short epoch.

        Args:
            runner (Runner): The runner.
        """
        self._tell()

    def _tell(self) -> None:
        if not self._told and self._cut:
            print_log(
                f'{self._cut} of {self._total} captions of the first '
                f'{self._seen} iterations were too long for the tokenizer and '
                'are cut: what stands behind is not learned. Shorten them, or '
                'take a text encoder with a longer context_length.',
                logger='current',
                level=logging.WARNING
                if self._cut >= _MANY * self._total
                else logging.INFO,
            )
        self._told = True


def _flags(batch: Any) -> Iterable[bool]:
    samples = batch.get('data_samples') if isinstance(batch, dict) else None
    for sample in samples or ():
        flag = sample.get('caption_cut') if hasattr(sample, 'get') else None
        if flag is not None:
            yield bool(flag)
