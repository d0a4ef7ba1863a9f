"""Stop an evaluation whose metrics would lose samples."""

from mmengine.dist import get_world_size
from mmengine.hooks import Hook

from mmtpr.datasets.samplers import WholeBatchSampler
from mmtpr.evaluation.metrics import GatheredMetric
from mmtpr.registry import HOOKS


@HOOKS.register_module()
class SameBatchesHook(Hook):
    """Stop where other metrics than mmtpr's meet whole batches dealt out.

    :class:`WholeBatchSampler` deals samples otherwise than mmengine's metrics
    expect; in several processes these would drop some and count others twice.

    Examples:
        >>> default_hooks = dict(
        ...     same_batches=dict(type='mmtpr.SameBatchesHook'))
    """

    def before_val(self, runner) -> None:
        """Check the metrics of the validation.

        Args:
            runner (Runner): The runner.

        Raises:
            ValueError: If a metric would lose samples.
        """
        _check(runner.val_loop, 'val')

    def before_test(self, runner) -> None:
        """Check the metrics of the test.

        Args:
            runner (Runner): The runner.

        Raises:
            ValueError: If a metric would lose samples.
        """
        _check(runner.test_loop, 'test')


def _check(loop, stage: str) -> None:
    sampler = loop.dataloader.batch_sampler
    if get_world_size() == 1 or not isinstance(sampler, WholeBatchSampler):
        return
    metrics = loop.evaluator.metrics
    others = [m for m in metrics if not isinstance(m, GatheredMetric)]
    if others:
        names = ', '.join(type(metric).__name__ for metric in others)
        raise ValueError(
            f'In several processes {names} would lose samples of batches '
            f'dealt out by mmtpr.WholeBatchSampler. Set '
            f'{stage}_dataloader.batch_sampler=None, or test in one process.'
        )
