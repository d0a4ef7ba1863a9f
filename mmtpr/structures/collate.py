"""Collating of packed samples in the processes that load data."""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from mmtpr.registry import FUNCTIONS

from .batch import FEATURE_FIELDS, stack_batch
from .retrieval_data_sample import RetrievalDataSample, text_fields


@FUNCTIONS.register_module()
def collate_samples(batch: Sequence[dict]) -> dict[str, Any]:
    """Collate packed samples, each field as one tensor.

    For dataloaders of mmtpr's datasets, in place of mmengine's
    ``pseudo_collate``, which sends every tensor of every sample from the
    worker on its own: several thousand open files with a few workers and
    ``pin_memory=True``, and much of the main process's time.

    Args:
        batch (Sequence[dict]): Outputs of ``mmtpr.PackRetrievalInputs``, B
            of them.

    Returns:
        dict: See :func:`mmtpr.structures.stack_batch`. ``data_samples`` are
        copies without what is stacked; the samples of the dataset, which it
        may keep for the next epoch, stay whole.

    Raises:
        ValueError: If the samples are no packed ones, or tensors differ in
            shape.

    Examples:
        >>> train_dataloader = dict(
        ...     collate_fn=dict(type='mmtpr.collate_samples'))
    """
    for item in batch:
        _check_packed(item)
    samples = [item['data_samples'] for item in batch]
    names = {name: None for item in batch for name in item.get('inputs', {})}
    inputs = {
        name: [item.get('inputs', {}).get(name) for item in batch]
        for name in names
    }
    stacked = stack_batch(inputs, samples)
    # Left on the samples, they would travel a second time.
    stacked['data_samples'] = [_without_tensors(sample) for sample in samples]
    return stacked


def _check_packed(item: Any) -> None:
    found = ''
    if not isinstance(item, dict):
        found = f'is a {type(item).__name__}'
    elif 'data_samples' not in item:
        found = f'has {sorted(item)}'
    elif not isinstance(item.get('inputs', {}), dict):
        found = f'has inputs of type {type(item["inputs"]).__name__}'
    if found:
        raise ValueError(
            'mmtpr.collate_samples takes what PackRetrievalInputs makes, so '
            f'the pipeline of the dataset must end with it; a sample {found}. '
            'For those of another kind, as of TestTimeAug, set '
            "collate_fn=dict(type='pseudo_collate') of the dataloader."
        )


def _without_tensors(sample: RetrievalDataSample) -> RetrievalDataSample:
    """Copy a sample, except for the tensors that a batch stacks."""
    bare = copy.copy(sample)
    own: Any = vars(bare)  # mmengine allows no other way to set these two
    for name in ('_metainfo_fields', '_data_fields'):
        own[name] = set(own[name])
    for name in (*text_fields(), *FEATURE_FIELDS):
        if getattr(bare, name, None) is not None:
            delattr(bare, name)
    return bare


def build_collate(named: Any) -> Callable:
    """Build what a dataloader of a config names as ``collate_fn``.

    Args:
        named (dict | str | Callable): As mmengine's runner takes it, or the
            name alone.

    Returns:
        Callable: From a list of samples to a batch.

    Raises:
        ValueError: If it names no function.
    """
    options = dict(named) if isinstance(named, dict) else dict(type=named)
    kind = options.pop('type', None)
    function: Any = FUNCTIONS.get(kind) if isinstance(kind, str) else kind
    if not callable(function):
        raise ValueError(
            f'The config has collate_fn={named!r}, which is no function and '
            'names none that is registered.'
        )
    return partial(function, **options) if options else function
