"""Token ids of captions, kept where all workers of a data loader find them."""

import hashlib
import mmap
import struct
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

_HASH = 8  # bytes
_FACTS = struct.Struct('<H?')  # tokens that count, whether cut


class Tokenized(NamedTuple):
    """What tokenizing a caption gave.

    Attributes:
        tokens (Tensor): Token ids of shape (L, ), long.
        num_tokens (int): Tokens that count; the padding begins there.
        is_cut (bool): Whether the caption was cut.
    """

    tokens: Tensor
    num_tokens: int
    is_cut: bool


class KeptTokens:
    """A table with a row for each sample, in memory that forks share.

    What one worker writes all others read, also those that later epochs
    start. A row holds a hash of its caption and of its ids: another caption
    of the same sample, or a row that another process is just writing, is not
    found, and no lock is needed. Memory is taken as rows are written. A copy,
    and what a worker gets that was not forked, is an empty table.

    Args:
        num_samples (int): Rows.
        context_length (int): Tokens, padding included.
        vocab_size (int, optional): Words of the tokenizer; up to 65,536 take
            2 bytes a token, more or an unknown number 4. Defaults to None.
    """

    def __init__(
        self,
        num_samples: int,
        context_length: int,
        vocab_size: int | None = None,
    ) -> None:
        self.num_samples = num_samples
        self.context_length = context_length
        self.vocab_size = vocab_size
        small = vocab_size is not None and vocab_size <= 1 << 16
        self._type = np.dtype('<u2' if small else '<u4')
        self._size = _HASH + _FACTS.size + context_length * self._type.itemsize
        # Anonymous and shared; not in /dev/shm, which may be small.
        self._memory = mmap.mmap(-1, max(1, self.num_bytes))

    @property
    def num_bytes(self) -> int:
        """Size once all rows are written."""
        return self.num_samples * self._size

    def find(self, index: int, caption: str) -> Tokenized | None:
        """Find what was kept.

        Args:
            index (int): The sample.
            caption (str): Its caption.

        Returns:
            Tokenized | None: None if nothing was kept of this caption.
        """
        if not 0 <= index < self.num_samples:
            return None
        start = index * self._size
        row = self._memory[start : start + self._size]  # a copy, then checked
        body = row[_HASH:]
        if row[:_HASH] != _hash(caption, body):
            return None
        num_tokens, is_cut = _FACTS.unpack_from(body)
        ids = np.frombuffer(body, self._type, offset=_FACTS.size)  # (L,)
        tokens = torch.from_numpy(ids.astype(np.int64))
        return Tokenized(tokens, num_tokens, is_cut)

    def keep(self, index: int, caption: str, found: Tokenized) -> bool:
        """Keep what tokenizing gave.

        Args:
            index (int): The sample.
            caption (str): Its caption.
            found (Tokenized): What to keep.

        Returns:
            bool: Whether it could be kept.
        """
        ids = found.tokens.numpy()
        fits = ids.shape == (self.context_length,) and ids.dtype == np.int64
        if not (fits and 0 <= index < self.num_samples):
            return False
        if ids.min() < 0 or ids.max() > np.iinfo(self._type).max:
            return False
        body = _FACTS.pack(found.num_tokens, found.is_cut)
        body += ids.astype(self._type).tobytes()
        start = index * self._size
        row = _hash(caption, body) + body
        self._memory[start : start + self._size] = row
        return True

    def __reduce__(self) -> tuple:
        sizes = self.num_samples, self.context_length, self.vocab_size
        return type(self), sizes


def vocabulary_size(tokenizer: Any) -> int | None:
    """Number of words a tokenizer knows.

    Args:
        tokenizer (Any): Of :func:`mmtpr.text.clip_tokenizer.build_tokenizer`.

    Returns:
        int | None: None if it does not say.
    """
    size = getattr(tokenizer, 'vocab_size', None)
    inner: Any = getattr(tokenizer, 'tokenizer', None)  # Hugging Face's
    if hasattr(inner, 'get_vocab_size'):
        size = inner.get_vocab_size()
    elif hasattr(inner, '__len__'):
        size = len(inner)
    return size if isinstance(size, int) else None


def _hash(caption: str, body: bytes) -> bytes:
    text = caption.encode('utf-8', 'surrogatepass')
    return hashlib.blake2b(body + text, digest_size=_HASH).digest()
