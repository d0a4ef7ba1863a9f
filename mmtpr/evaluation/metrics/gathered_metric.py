"""Base of metrics of whole test sets: gathering by sample number."""

from typing import Any

from mmengine.dist import (
    broadcast_object_list,
    collect_results,
    get_world_size,
    is_main_process,
)
from mmengine.evaluator import BaseMetric

from ..packed_results import pack_results, unpack_results
from ..whole_set import join_samples, number_samples


class GatheredMetric(BaseMetric):
    """A metric whose results are put in the order of the test set.

    mmengine's metrics expect that process r of n has the samples r, r + n,
    ...; with whole batches dealt out (:class:`WholeBatchSampler`) they would
    drop some samples. Here each result carries its ``sample_idx``.

    A subclass keeps results by :meth:`keep` and has ``compute_metrics``.
    """

    default_prefix = ''

    def keep(self, sample: dict, result: dict[str, Any]) -> None:
        """Keep what ranking needs of a sample.

        Args:
            sample (dict): The sample, with ``sample_idx`` where its dataset
                gives it.
            result (dict): What to keep.
        """
        self.results.append(dict(result, sample_idx=sample.get('sample_idx')))

    def evaluate(self, size: int) -> dict[str, float]:
        """Compute the numbers of the whole test set.

        Args:
            size (int): Samples of the test set.

        Returns:
            dict[str, float]: The numbers, the same in all processes.

        Raises:
            ValueError: If samples are missing; see :func:`number_samples`.
        """
        if get_world_size() == 1:
            if len(self.results) != size:
                raise ValueError(
                    f'The data loader gave {len(self.results)} of {size} '
                    'samples; drop_last=True or a sampler of its own leaves '
                    'some out.'
                )
            return super().evaluate(size)
        where = {'tmpdir': self.collect_dir}
        if self.collect_device != 'cpu':
            where = {}
        # One entry a process, not one a sample, and few tensors.
        parts = collect_results(
            [pack_results(self.results)],
            get_world_size(),
            self.collect_device,
            **where,
        )
        outcome: list[Any] = [
            self._outcome([*map(unpack_results, parts)], size)
            if is_main_process()
            else None
        ]
        broadcast_object_list(outcome)
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

    def _outcome(
        self, parts: list[list[dict]], size: int
    ) -> dict[str, float] | Exception:
        """Numbers, or the error that all processes are to raise."""
        try:
            samples = [[item['sample_idx'] for item in p] for p in parts]
            order = number_samples(samples, size)
            numbers = self.compute_metrics(join_samples(parts, order, size))
        except Exception as error:  # the others wait for it
            return error
        prefix = f'{self.prefix}/' if self.prefix else ''
        return {f'{prefix}{name}': value for name, value in numbers.items()}
