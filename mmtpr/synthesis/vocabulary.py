"""Small vocabularies for small text encoders, of CLIP's kind and of BERT's."""

import gzip
import os
import re
from collections.abc import Iterable
from itertools import pairwise

from mmtpr.utils import atomic_write

_BERT_SPECIAL = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]')


def used_merges(captions: Iterable[str]) -> list[str]:
    """Find the merges of CLIP's vocabulary that some captions need.

    Args:
        captions (Iterable[str]): The texts.

    Returns:
        list[str]: Lines of the merges file, in its order.
    """
    # It takes seconds, and most uses of this package need none of it.
    from open_clip import tokenizer as clip

    with gzip.open(clip.default_bpe(), 'rt', encoding='utf-8') as file:
        lines = file.read().split('\n')[1 : 49152 - 256 - 2 + 1]
    ranks = {tuple(line.split()): i for i, line in enumerate(lines)}
    tokenizer = clip.SimpleTokenizer()
    letters = clip.bytes_to_unicode()
    words = set()
    for text in captions:
        words.update(tokenizer.pat.findall(tokenizer.clean_fn(text)))
    used = set()
    for word in words:
        parts = [letters[byte] for byte in word.encode('utf-8')]
        parts[-1] += '</w>'
        while len(parts) > 1:
            pairs = [p for p in pairwise(parts) if p in ranks]
            if not pairs:
                break
            best = min(pairs, key=ranks.__getitem__)
            used.add(ranks[best])
            parts = _merge(parts, best)
    return [lines[rank] for rank in sorted(used)]


def _merge(parts: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for part in parts:
        if merged and (merged[-1], part) == pair:
            merged[-1] += part
        else:
            merged.append(part)
    return merged


def write_vocabulary(captions: Iterable[str], path: str | os.PathLike) -> int:
    """Write a merges file for ``open_clip.SimpleTokenizer(bpe_path=...)``.

    Other words still tokenize, into letters.

    Args:
        captions (Iterable[str]): The texts whose words get one token each.
        path (str | PathLike): The file, gzipped.

    Returns:
        int: Vocabulary size of that tokenizer.
    """
    merges = used_merges(captions)
    text = '\n'.join(['#version: subset of CLIP', *merges])
    with atomic_write(path) as file:
        file.write(gzip.compress(text.encode('utf-8'), mtime=0))
    return 2 * 256 + len(merges) + 2


def bert_words(captions: Iterable[str]) -> list[str]:
    """List the words of some captions as BERT splits them.

    Args:
        captions (Iterable[str]): The texts.

    Returns:
        list[str]: Special tokens, of which [PAD] is the first; characters,
        alone and as continuations (``##a``), into which other words fall;
        words in alphabetical order.
    """
    words = set()
    for text in captions:
        words.update(re.findall(r'[^\W_]+|[^\w\s]|_', text.lower()))
    letters = sorted(
        {*'abcdefghijklmnopqrstuvwxyz0123456789', *''.join(words)}
    )
    return [
        *_BERT_SPECIAL,
        *letters,
        *(f'##{letter}' for letter in letters),
        *sorted(words - set(letters)),
    ]


def write_bert_vocabulary(
    captions: Iterable[str], path: str | os.PathLike
) -> int:
    """Write a ``vocab.txt`` for :class:`TokenizeBert`.

    Args:
        captions (Iterable[str]): The texts whose words get one token each.
        path (str | PathLike): The file.

    Returns:
        int: Number of tokens.
    """
    words = bert_words(captions)
    with atomic_write(path, 'w') as file:
        file.write('\n'.join(words) + '\n')
    return len(words)
