"""Real configs made small enough for a test."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmtpr.filtering.setup import SELECTING

from .tiny_blip2 import shrink_blip2, write_tiny_vocab
from .tiny_clip import tiny_clip_cfg, tiny_encoder_cfg
from .tiny_swin_bert import shrink_swin_bert

_DATASETS = (
    *('CUHKPEDES', 'ICFGPEDES', 'RSTPReid', 'MALS'),
    *('SynCPR', 'ITCPR', 'PA100K'),
)


def tiny_retriever_cfg(num_classes: int = 6, **kwargs) -> dict[str, Any]:
    """Config of a :class:`TextPersonRetriever` around a tiny encoder.

    Args:
        num_classes (int): Identities of the training split. Defaults to 6,
            what :func:`write_tiny_cuhk` writes.
        **kwargs: Further arguments of the retriever; they win.

    Returns:
        dict: Config for ``MODELS.build``.
    """
    cfg = dict(
        type='mmtpr.TextPersonRetriever',
        encoder=tiny_encoder_cfg(),
        losses=dict(
            sdm=dict(type='mmtpr.SDMLoss'),
            id=dict(type='mmtpr.IDLoss', num_classes=num_classes),
        ),
    )
    cfg.update(kwargs)
    return cfg


def shrink_config(
    cfg: Config | str | Path,
    data_root: str | Path,
    image_size: tuple[int, int] = (64, 32),
    batch_size: int = 4,
    keep_filter: bool = False,
    keep_schedule: bool = False,
) -> Config:
    """Turn a real config into one that trains on tiny data in seconds.

    Encoders, image sizes, tokens, data roots, workers and the number of
    epochs change; what the config composes stays.

    Args:
        cfg (Config | str | Path): The config or its path. Not modified.
        data_root (str | Path): Folder of :func:`write_tiny_data`.
        image_size (tuple[int, int]): Height and width of the images.
        batch_size (int): Batch size of all data loaders. Defaults to 4.
        keep_filter (bool): Whether to keep ``RelevanceFilteredDataset`` and
            ``SelectedPairsDataset``, which need a scores file of the tiny data
            or scikit-learn. Defaults to False, which puts the wrapped dataset
            in their place and takes ``PairSelectionHook`` out.
        keep_schedule (bool): Whether to train all epochs with the schedule
            as it is. Defaults to False: one epoch, and schedulers that step
            once an epoch.

    Returns:
        Config: The small config.
    """
    if not isinstance(cfg, Config):
        cfg = Config.fromfile(str(cfg))
    small = copy.deepcopy(cfg.to_dict())
    if not keep_filter:
        small = _drop_filters(small)
        hooks = small.get('custom_hooks') or []
        small['custom_hooks'] = [
            hook for hook in hooks if _kind(hook) != 'PairSelectionHook'
        ]
    for node in _dicts(small):
        _shrink_node(node, str(data_root), image_size)
    for name, loader in small.items():
        if name.endswith('_dataloader') and loader:
            _shrink_loader(loader, batch_size)
    if not keep_schedule:
        _shrink_schedule(small)
    return Config(small)


def _dicts(node: Any) -> Iterator[dict]:
    """Walk over all dicts of a config, parents first."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for value in node:
            yield from _dicts(value)


def _kind(node: Any) -> str:
    kind = node.get('type', '') if isinstance(node, dict) else ''
    name = kind if isinstance(kind, str) else kind.__name__
    return name.rsplit('.', 1)[-1]


def _drop_filters(node: Any) -> Any:
    while _kind(node) in SELECTING:
        node = node['dataset']
    if isinstance(node, dict):
        return {key: _drop_filters(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return type(node)(_drop_filters(value) for value in node)
    return node


def _shrink_node(node: dict, data_root: str, size: tuple[int, int]) -> None:
    kind = _kind(node)
    if kind == 'OpenCLIPEncoder':
        node.update(
            model=tiny_clip_cfg(size), pretrained=None, image_size=None
        )
    elif kind in ('BLIP2Encoder', 'TokenizeBert'):
        shrink_blip2(node, data_root, size)
    elif kind in ('MaskBertTokens', 'AttributePromptLoss'):
        node.update(vocab=write_tiny_vocab(Path(data_root) / 'tiny_vocab.txt'))
    elif kind == 'SwinBertEncoder':
        shrink_swin_bert(node, size)
    elif kind == 'MLMLoss':
        node.update(layers=1)
    elif kind in ('Resize', 'RandomResize'):
        node.update(scale=size[::-1])
    elif kind == 'PadCrop':
        node.update(padding=2)
    elif kind == 'TokenizeCaption':
        node.update(tokenizer='ViT-B-16', context_length=32)
    elif kind == 'PseudoWordQuery':
        node.update(tokenizer='ViT-B-16')
    elif kind in _DATASETS:
        node.update(data_root=data_root)
        if 'val_pids' in node:
            node.update(val_pids=2)
        if kind == 'SynCPR':
            node.update(val_ids=3)
        if kind == 'PA100K':
            node.update(
                ann_file='PA100K.json', data_prefix=dict(img_path='imgs')
            )


def _shrink_loader(loader: dict, batch_size: int) -> None:
    loader.update(batch_size=batch_size, num_workers=0)
    loader.update(persistent_workers=False, pin_memory=False)
    loader.pop('prefetch_factor', None)
    if _kind(loader.get('sampler')) == 'IdentitySampler':
        loader.update(batch_size=4)


def _shrink_schedule(cfg: dict) -> None:
    loop = cfg.get('train_cfg') or {}
    for key in ('max_epochs', 'max_iters', 'val_interval'):
        if key in loop:
            loop[key] = 2 if key == 'max_iters' else 1
    for scheduler in cfg.get('param_scheduler') or []:
        scheduler.update(begin=0, end=1)
        scheduler.pop('convert_to_iter_based', None)
