"""Base of metrics of whole test sets: gathering by sample number."""

from collections.abc import Iterable
from typing import Any

from mmengine.dist import broadcast_object_list, get_world_size
from mmengine.evaluator import BaseMetric

from ..exchange import collect_parts
from ..packed_results import Column, Mixed, pack_results, unpack_results
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
        parts = collect_parts(
            pack_results(self.results), self.collect_device, self.collect_dir
        )
        outcome: list[Any] = [
            None if parts is None else self._outcome(parts, size)
        ]
        broadcast_object_list(outcome)
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

    def _outcome(
        self, packed: Iterable[list[Column | Mixed]], size: int
    ) -> dict[str, float] | Exception:
        """Numbers, or the error that all processes are to raise."""
        try:
            parts = [unpack_results(part) for part in packed]
            samples = [[item['sample_idx'] for item in p] for p in parts]
            order = number_samples(samples, size)
            numbers = self.compute_metrics(join_samples(parts, order, size))
        except Exception as error:  # the others wait for it
            return error
        prefix = f'{self.prefix}/' if self.prefix else ''
        return {f'{prefix}{name}': value for name, value in numbers.items()}
