"""Tokenizers of open_clip, by the name of a model or by their files."""

import json
from collections.abc import Callable
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

from mmtpr.utils.lazy import require

from .bert_tokenizer import BertTokenizer
from .file_tokenizer import FileTokenizer


def build_tokenizer(
    tokenizer: str | dict = 'ViT-B-16', context_length: int | None = None
) -> Callable:
    """Build one of open_clip's tokenizers, shared between equal requests.

    Args:
        tokenizer (str | dict): As of ``mmtpr.TokenizeCaption``.
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
    if 'bert' in request:
        if context_length is not None:
            request['context_length'] = context_length
        return BertTokenizer(**request)
    length = request.pop('context_length', 77)
    context_length = context_length or length
    if 'json' in request:
        return FileTokenizer(context_length=context_length, **request)
    import open_clip  # takes seconds, and others do without

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
    import open_clip

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
