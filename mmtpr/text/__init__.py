"""Captions as characters and as token ids."""

from .bert_tokenizer import build_bert_tokenizer
from .characters import (
    has_control_characters,
    is_blank,
    replace_control_characters,
)
from .vocabulary_check import check_vocabulary
from .word_masking import WordMasker

__all__ = [
    'WordMasker',
    'build_bert_tokenizer',
    'check_vocabulary',
    'has_control_characters',
    'is_blank',
    'replace_control_characters',
]
