"""From configs to the pairs and the captions that scoring needs."""

from typing import Any

from mmengine.config import Config
from mmengine.device import get_device

from mmtpr.models.build import build_model
from mmtpr.registry import DATASETS
from mmtpr.structures.pairs import CAPTION_KEYS, Pairs, read_pairs
from mmtpr.utils.config_file import read_config
from mmtpr.utils.config_parts import (
    build_pipeline,
    find_pipeline,
    get_setting,
)
from mmtpr.utils.fingerprint import scorer_fingerprint

from .bank import read_captions
from .scorer import RetrieverScorer

#: Dataset wrappers that choose among pairs.
SELECTING = ('RelevanceFilteredDataset', 'SelectedPairsDataset')


def raw_dataset_cfg(node: Any) -> Any:
    """Take filters of pairs out of a dataset config, and its pipelines.

    Args:
        node (Any): Config of a dataset or a part of it. Not modified.

    Returns:
        Any: Config of the unfiltered dataset with empty pipelines.
    """
    if isinstance(node, dict):
        kind = node.get('type', '')
        name = kind if isinstance(kind, str) else kind.__name__
        if name.rsplit('.', 1)[-1] in SELECTING:
            return raw_dataset_cfg(node['dataset'])
        return {
            k: [] if k == 'pipeline' else raw_dataset_cfg(v)
            for k, v in node.items()
        }
    if isinstance(node, list | tuple):
        return type(node)(raw_dataset_cfg(value) for value in node)
    return node


def build_raw_dataset(cfg: Config, key: str) -> Any:
    """Build a config's dataset without filters of pairs and transforms.

    Args:
        cfg (Config): The config.
        key (str): Dotted key of the dataset.

    Returns:
        Any: The dataset, fully initialised.
    """
    dataset = DATASETS.build(raw_dataset_cfg(get_setting(cfg, key)))
    dataset.full_init()
    return dataset


def load_pairs(
    cfg: Config,
    key: str,
    image_key: str | None = None,
    caption_key: str | None = None,
) -> Pairs:
    """Load the image-caption pairs of a config's dataset.

    Args:
        cfg (Config): The config.
        key (str): Dotted key of the dataset.
        image_key (str, optional): Key of the image path in an entry.
        caption_key (str, optional): Key of the caption in an entry.

    Returns:
        Pairs: The pairs, unfiltered.
    """
    dataset = build_raw_dataset(cfg, key)
    return read_pairs(dataset, image_key, caption_key)


def build_scorer(
    cfg: Config,
    config: str,
    checkpoint: str | None = None,
    pipeline: str | None = None,
    allow_partial: bool = False,
    **options: Any,
) -> tuple[RetrieverScorer, dict[str, Any]]:
    """Build the scorer of a config.

    Args:
        cfg (Config): The config.
        config (str): Its file, for the description.
        checkpoint (str, optional): Weights. Defaults to None: those that the
            config loads.
        pipeline (str, optional): Dotted key of the transforms. Defaults to
            None: those of the test data.
        allow_partial (bool): Whether weights may be missing that were trained.
            Defaults to False.
        **options: Of :class:`RetrieverScorer`.

    Returns:
        tuple[RetrieverScorer, dict]: The scorer, and its description: config,
        checkpoint, fingerprint and precision.
    """
    transforms = find_pipeline(cfg, pipeline)
    model = build_model(cfg, checkpoint, get_device(), allow_partial)
    scorer = RetrieverScorer(model, build_pipeline(transforms), **options)
    who = dict(
        config=config,
        checkpoint=checkpoint,
        fingerprint=scorer_fingerprint(model, cfg, transforms),
        precision='bfloat16' if scorer.amp else 'float32',
    )
    return scorer, who


def load_bank_captions(
    source: str, options: dict | None = None, key: str | None = None
) -> list[str]:
    """Read the captions a bank is drawn from.

    Args:
        source (str): ``.json`` or ``.txt`` file, see
            :func:`mmtpr.filtering.read_captions`, or a ``.py`` config.
        options (dict, optional): Overrides of single keys of the config.
        key (str, optional): Dotted key of the config's dataset. Defaults
            to ``'train_dataloader.dataset'``.

    Returns:
        list[str]: The captions.
    """
    if not source.endswith('.py'):
        return read_captions(source)
    cfg = read_config(source, options, name='--bank-cfg-options')
    dataset = build_raw_dataset(cfg, key or 'train_dataloader.dataset')
    captions = []
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        texts = (info.get(k) for k in CAPTION_KEYS)
        captions.extend([t for t in texts if isinstance(t, str)][:1])
    return captions
