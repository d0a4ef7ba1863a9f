"""Tokenizers that a config names."""

from collections.abc import Iterator
from typing import Any

import torch

from .clip_tokenizer import build_tokenizer

#: A sentence that every vocabulary cuts in another way.
PROBE = 'A woman in a red-checked jacket, 2 bags & ripped grey jeans.'


def tokenizer_nodes(cfg: Any, kinds: tuple[str, ...]) -> Iterator[dict]:
    """Find what tokenizes in a config.

    Args:
        cfg (Any): A config, or a part of one.
        kinds (tuple[str, ...]): Names of classes that take ``tokenizer``.

    Yields:
        dict: The config of each, not copied.
    """
    if isinstance(cfg, list | tuple):
        for item in cfg:
            yield from tokenizer_nodes(item, kinds)
    elif hasattr(cfg, 'items'):
        kind = cfg.get('type')
        name = kind if isinstance(kind, str) else getattr(kind, '__name__', '')
        if name.rpartition('.')[2] in kinds:
            yield cfg
        for _, value in cfg.items():
            yield from tokenizer_nodes(value, kinds)


def token_facts(cfg: Any) -> dict[str, Any]:
    """Tell how the test data of a config tokenize.

    Args:
        cfg (Config): The whole config.

    Returns:
        dict: ``probe``, token ids of a sentence without padding; empty where
        no tokenizer is found, or it cannot be built here.
    """
    for loader in ('test_dataloader', 'val_dataloader', 'train_dataloader'):
        part = cfg.get(loader) or {}
        for node in tokenizer_nodes(part, ('TokenizeCaption', 'TokenizeBert')):
            try:
                return dict(probe=probe_ids(*tokenizer_request(node)))
            except (ImportError, OSError, ValueError):
                return {}
    return {}


def tokenizer_request(node: dict) -> tuple[Any, int | None]:
    """Tokenizer and number of tokens that the config of a transform asks for.

    Args:
        node (dict): Config of ``TokenizeCaption`` or ``TokenizeBert``.

    Returns:
        tuple[Any, int | None]: Arguments of
        :func:`mmtpr.text.clip_tokenizer.build_tokenizer`.
    """
    if 'TokenizeBert' in str(node['type']):
        options = {k: node[k] for k in ('clean', 'max_words') if k in node}
        bert = str(node.get('vocab', 'bert-base-uncased'))
        return dict(bert=bert, **options), node.get('max_length', 32)
    return node.get('tokenizer') or 'ViT-B-16', node.get('context_length')


def probe_ids(
    tokenizer: str | dict, context_length: int | None = None
) -> list[int]:
    """Tokenize a sentence on which vocabularies differ.

    Args:
        tokenizer (str | dict): As of ``mmtpr.TokenizeCaption``.
        context_length (int, optional): Tokens, padding included.

    Returns:
        list[int]: Token ids without the padding at the end.
    """
    built: Any = build_tokenizer(tokenizer, context_length)
    ids, empty = built([PROBE])[0], built([''])[0]
    length = int(torch.nonzero(ids != empty[-1]).max()) + 1
    return ids[:length].tolist()
