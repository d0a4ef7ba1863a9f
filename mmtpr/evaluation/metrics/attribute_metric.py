"""Attribute recognition as a metric of the ordinary test loop."""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.logging import print_log

from mmtpr.registry import METRICS

from ..attributes import (
    attribute_metrics,
    balanced_accuracy,
    decide_by_prompts,
)
from .gathered_metric import GatheredMetric


@METRICS.register_module()
class AttributeMetric(GatheredMetric):
    """Mean accuracy of attributes; accuracy, precision and recall of images.

    The numbers are ``mA``, ``accuracy``, ``precision``, ``recall`` and ``F1``
    (see :func:`attribute_metrics`). A sample has the true ``attributes`` (1,
    0, negative where unknown) and ``attribute_scores`` of shape (A, 2): how
    well a negative and a positive prompt match, the better one decides (see
    :class:`AttributeTestLoop`). A model that decides by itself sets
    ``pred_attributes`` of shape (A, ).

    Args:
        per_attribute (bool): Whether to report the balanced accuracy of each
            attribute too, as ``mA/<name>``. Defaults to False.
        collect_device (str): ``'cpu'`` or ``'gpu'``. Defaults to ``'cpu'``.
        prefix (str, optional): Put before the names of the numbers, with a
            slash. Defaults to None, no prefix.
        collect_dir (str, optional): See mmengine. Defaults to None.

    Examples:
        >>> test_evaluator = dict(type='mmtpr.AttributeMetric')
    """

    def __init__(
        self,
        per_attribute: bool = False,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        self.per_attribute = per_attribute

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep labels and decisions.

        Args:
            data_batch (Any): Not used.
            data_samples (Sequence[dict]): See the class.

        Raises:
            ValueError: If a sample lacks labels or decisions, or their
                numbers differ.
        """
        for sample in data_samples:
            name = sample.get('img_path')
            labels = sample.get('attributes')
            if labels is None or not len(labels):
                raise ValueError(
                    f'"{name}" has no attribute labels: AttributeMetric '
                    'needs a dataset with attributes, such as PA100K, and '
                    "'attributes' among the meta_keys of PackRetrievalInputs."
                )
            labels = torch.as_tensor(labels).to('cpu', torch.int8)
            chosen = _decisions(sample, name)
            if chosen.shape != labels.shape:
                raise ValueError(
                    f'"{name}" has {len(labels)} attribute labels, but '
                    f'decisions of shape {tuple(chosen.shape)}. Give one pair '
                    'of prompts for each attribute of the dataset.'
                )
            self.keep(sample, dict(labels=labels, chosen=chosen))

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Compute the numbers.

        Args:
            results (list[dict]): What :meth:`process` kept, of all processes.

        Returns:
            dict[str, float]: ``mA``, ``accuracy``, ``precision``, ``recall``
            and ``F1`` in percent.

        Raises:
            ValueError: If there are no samples, or they differ in their
                number of attributes.
        """
        widths = {len(item['labels']) for item in results}
        if len(widths) != 1:
            raise ValueError(
                f'The {len(results)} samples have different numbers of '
                f'attributes: {sorted(widths)}.'
            )
        labels = torch.stack([item['labels'] for item in results])
        chosen = torch.stack([item['chosen'] for item in results])
        numbers = attribute_metrics(chosen, labels)
        each = balanced_accuracy(chosen, labels)
        names = (self.dataset_meta or {}).get('attributes')
        names = names or [str(i) for i in range(len(each))]
        one_sided = [names[i] for i in each.isnan().nonzero()[:, 0].tolist()]
        if one_sided:
            print_log(
                'mA leaves out attributes that all or none of the images '
                f'have: {", ".join(one_sided)}.',
                logger='current',
                level=logging.WARNING,
            )
        if self.per_attribute:
            pairs = zip(names, each.tolist(), strict=True)
            numbers.update((f'mA/{name}', value) for name, value in pairs)
        return numbers


def _decisions(sample: dict, name: str | None) -> torch.Tensor:
    """(A, ), bool."""
    scores = sample.get('attribute_scores')
    if scores is not None:
        return decide_by_prompts(scores[None].float().cpu())[0]
    chosen = sample.get('pred_attributes')
    if chosen is None:
        raise ValueError(
            f'"{name}" has neither attribute_scores nor pred_attributes: use '
            "test_cfg=dict(type='mmtpr.AttributeTestLoop', prompts=...), or a "
            'model that sets one of them.'
        )
    return torch.as_tensor(chosen).cpu() > 0
