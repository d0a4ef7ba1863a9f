"""Captions to token ids."""

import json
from collections.abc import Callable
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

import open_clip
from mmcv.transforms import BaseTransform

from mmtpr.registry import TRANSFORMS
from mmtpr.utils import require


@TRANSFORMS.register_module()
class TokenizeCaption(BaseTransform):
    """Turn a caption into token ids with one of open_clip's tokenizers.

    A caption that is too long is cut; the end-of-text token stays last. A
    sample without caption passes unchanged. The vocabulary of CLIP comes
    with open_clip, so this works offline.

    Required Keys: none

    Added Keys: ``target``, a LongTensor of shape (context_length, )

    Args:
        tokenizer (str | dict): Name of an open_clip model
            (``'ViT-B-16'``, ``'hf-hub:org/name'``, ``'local-dir:path'``), or
            arguments of a byte-pair tokenizer in CLIP's form
            (``dict(bpe_path='vocab.txt.gz')``), or
            ``dict(hf='bert-base-uncased')`` with the name or folder of a
            Hugging Face tokenizer, which needs transformers. Defaults to
            ``'ViT-B-16'``.
        context_length (int, optional): Tokens, padding included. Defaults to
            None, what the named model takes, else 77.
        source (str): Key to read. Defaults to ``'caption'``.
        target (str): Key to write. Defaults to ``'tokens'``.

    Raises:
        ValueError: If open_clip has no model of that name.
        FileNotFoundError: If the ``bpe_path`` does not exist.
        ImportError: If a Hugging Face tokenizer is asked for and
            transformers is not installed.
    """

    def __init__(
        self,
        tokenizer: str | dict = 'ViT-B-16',
        context_length: int | None = None,
        source: str = 'caption',
        target: str = 'tokens',
    ) -> None:
        self.tokenizer = build_tokenizer(tokenizer, context_length)
        self.name = tokenizer
        self.context_length = self.tokenizer.context_length
        self.source = source
        self.target = target

    def transform(self, results: dict) -> dict:
        """Tokenize the caption.

        Args:
            results (dict): A sample.

        Returns:
            dict: The sample.
        """
        caption = results.get(self.source)
        if caption is not None:
            results[self.target] = self.tokenizer([caption])[0]
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(tokenizer={self.name!r}, '
            f'context_length={self.context_length})'
        )


def build_tokenizer(
    tokenizer: str | dict = 'ViT-B-16', context_length: int | None = None
) -> Callable:
    """Build one of open_clip's tokenizers, shared between equal requests.

    Args:
        tokenizer (str | dict): See :class:`TokenizeCaption`.
        context_length (int, optional): Tokens, padding included.

    Returns:
        Callable: Takes a list of K strings, gives a (K, L) LongTensor; has
        ``context_length``.
    """
    key = tokenizer if isinstance(tokenizer, str) else dict(tokenizer)
    return _build(json.dumps(key, sort_keys=True), context_length)


@lru_cache(maxsize=8)
def _build(key: str, context_length: int | None) -> Callable:
    request = json.loads(key)
    if isinstance(request, str):
        return _by_name(request, context_length)
    length = request.pop('context_length', 77)
    context_length = context_length or length
    if 'hf' in request:
        require('transformers', 'blip2', 'A Hugging Face tokenizer')
        return open_clip.tokenizer.HFTokenizer(
            request.pop('hf'), context_length=context_length, **request
        )
    path = request.get('bpe_path')
    if path and not Path(path).is_file():
        raise FileNotFoundError(f'The vocabulary "{path}" does not exist.')
    return open_clip.SimpleTokenizer(context_length=context_length, **request)


def _by_name(name: str, context_length: int | None) -> Callable:
    known = open_clip.list_models()
    if ':' not in name and name not in known:
        close = get_close_matches(name, known, 3)
        raise ValueError(
            f'open_clip has no model "{name}", so its tokenizer is not known.'
            f' Similar: {", ".join(close) or "none"}. A Hugging Face '
            'tokenizer is written dict(hf="name").'
        )
    config = open_clip.get_model_config(name) if ':' not in name else {}
    if (config or {}).get('text_cfg', {}).get('hf_tokenizer_name'):
        require('transformers', 'blip2', f'The tokenizer of "{name}"')
    return open_clip.get_tokenizer(name, context_length=context_length)
