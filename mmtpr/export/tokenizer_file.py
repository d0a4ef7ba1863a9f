"""Tokenizers of open_clip, transformers and BERT, written as one file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from mmtpr.text.bert_tokenizer import BertTokenizer
from mmtpr.text.file_tokenizer import EXTRA, FileTokenizer
from mmtpr.utils.lazy import require

#: Captions on which tokenizers differ: cases, signs, scripts, length.
PROBES = (
    'A woman in a red-checked jacket, 2 bags & ripped grey jeans.',
    "He's WEARING Adidas® shoes; they'll  match\this 1990s coat!!",
    'größe naïve façade Straße ÅNGSTRÖM',
    '一个穿红色外套的女人。 مرحبا Привет',
    '&lt;b&gt; &amp;amp; “quoted” … 👩🏽‍🦰 🚲',
    '<start_of_text> [SEP] under_score {} # @ 3.14',
    '',
    'a person with a very long description ' * 60,
)
_PURPOSE = 'Writing a tokenizer as one file'


def write_tokenizer(
    built: Any, file: Path, captions: Sequence[str] = ()
) -> dict[str, Any]:
    """Write a tokenizer that is built, and prove the file on captions.

    Args:
        built (Any): Of :func:`mmtpr.text.clip_tokenizer.build_tokenizer`.
        file (Path): The ``tokenizer.json`` to write.
        captions (Sequence[str]): Captions to compare on, beside
            :data:`PROBES`. Defaults to none.

    Returns:
        dict: What ``mmtpr.TokenizeCaption`` takes as ``tokenizer``, with the
        path of the file; of :class:`BertTokenizer` that with ``bert``.

    Raises:
        ImportError: If tokenizers is not installed.
        ValueError: If the tokenizer has no such form, or the file gives other
            ids for a caption.
    """
    require('tokenizers', EXTRA, _PURPOSE)
    options: dict[str, Any]
    if isinstance(built, BertTokenizer):
        file.write_text(built.tokenizer.to_str(), encoding='utf-8')
        options = dict(clean=built.clean, max_words=built.max_words)
        request: dict[str, Any] = dict(bert=str(file), **options)
        written: Any = BertTokenizer(
            context_length=built.context_length, **request
        )
    else:
        text, options = _file_content(built)
        file.write_text(text, encoding='utf-8')
        request = dict(json=str(file), **options)
        written = FileTokenizer(context_length=built.context_length, **request)
    for caption in (*PROBES, *captions):
        if not torch.equal(built([caption]), written([caption])):
            raise ValueError(
                f'The tokenizer {type(built).__name__} cannot be written as '
                f'one file: the file gives other ids for {caption[:60]!r}.'
            )
    return request


def _file_content(built: Any) -> tuple[str, dict[str, Any]]:
    """Text of the file, and options of :class:`FileTokenizer`."""
    if isinstance(built, FileTokenizer):
        options = dict(clean=built.clean, pad_id=built.pad_id)
        return built.tokenizer.to_str(), options
    clean = getattr(built, 'clean_fn', None)
    options = dict(
        clean=getattr(clean, '__name__', '').removeprefix('_clean_')
    )
    if hasattr(built, 'bpe_ranks') and built.reduction_fn is None:
        return _byte_pairs(built), dict(options, pad_id=0)
    of_hub = getattr(built, 'tokenizer', None)
    inner: Any = getattr(of_hub, 'backend_tokenizer', None)
    plain = not getattr(built, 'tokenizer_mode', '')
    if inner and plain and not built.strip_sep_token:
        pad = built.tokenizer.pad_token_id
        return inner.to_str(), dict(options, pad_id=pad)
    raise ValueError(
        f'The tokenizer {type(built).__name__} cannot be written as one file: '
        'known are those of CLIP without reduction_mask, those of BERT, and '
        'the quick ones of transformers.'
    )


def _byte_pairs(built: Any) -> str:
    """CLIP's tokenizer in the form of the library tokenizers."""
    tokenizers: Any = require('tokenizers', EXTRA, _PURPOSE)
    before = tokenizers.pre_tokenizers
    merges = sorted(built.bpe_ranks, key=built.bpe_ranks.get)
    model = tokenizers.models.BPE(
        vocab=built.encoder,
        merges=[pair for pair in merges if len(pair) == 2],
        end_of_word_suffix='</w>',
    )
    tokenizer = tokenizers.Tokenizer(model)
    pattern = (
        r"'s|'t|'re|'ve|'m|'ll|'d|'S|'T|'RE|'VE|'M|'LL|'D"
        r'|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+'
    )
    tokenizer.pre_tokenizer = before.Sequence(
        [
            before.Split(tokenizers.Regex(pattern), 'removed', invert=True),
            before.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    special = [built.decoder[number] for number in built.all_special_ids]
    tokenizer.add_special_tokens(
        [tokenizers.AddedToken(word, normalized=False) for word in special]
    )
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single=f'{special[0]} $A {special[1]}',
        special_tokens=[(word, built.encoder[word]) for word in special[:2]],
    )
    return json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False)
