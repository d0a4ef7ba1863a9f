"""Characters for which a vocabulary has no token."""

import pytest

from mmtpr.text.bert_tokenizer import BertTokenizer
from mmtpr.text.clip_tokenizer import build_tokenizer
from mmtpr.text.unknown_characters import unknown_characters


@pytest.mark.parametrize(
    ('text', 'wanted'),
    [
        ('a man in a red top, 3 bags & “jeans”', []),
        ('a café in Zürich', []),
        ('红色 top 红', ['红', '色']),
        ('Straße', ['ß']),
    ],
)
def test_of_clip(text, wanted):
    assert unknown_characters(build_tokenizer(), text) == wanted


def test_of_bert(tmp_path):
    pytest.importorskip('tokenizers', reason='the extra [blip2] is missing')
    words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a', '红']
    vocab = tmp_path / 'vocab.txt'
    vocab.write_text('\n'.join(words), encoding='utf-8')
    tokenizer = BertTokenizer(str(vocab))
    assert unknown_characters(tokenizer, 'a 红色') == ['色']
