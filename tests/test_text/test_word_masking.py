"""Hidden words: whole, few, never special."""

import numpy as np
import pytest

from mmtpr.registry import TRANSFORMS
from mmtpr.testing import write_tiny_vocab
from mmtpr.text.bert_tokenizer import build_bert_tokenizer
from mmtpr.text.word_masking import WordMasker

pytest.importorskip(
    'tokenizers', reason='BERT tokens need the extra [blip2] (tokenizers)'
)
CAPTION = 'a man with reds bags and blueed hat in the green shirt'


@pytest.fixture
def tokenizer(tmp_path):
    return build_bert_tokenizer(write_tiny_vocab(tmp_path / 'vocab.txt'), 24)


def encode(tokenizer, text=CAPTION):
    return np.array(tokenizer.encode(text).ids)


def test_share_and_most(tokenizer):
    tokens, rng = encode(tokenizer), np.random.default_rng(0)
    words = int((tokens > 4).sum())
    for prob, most, expected in (
        (0.25, 10, round(0.25 * words)),
        (0.25, 2, 2),
        (0.01, 10, 1),
        (1.0, 40, words),
    ):
        masker = WordMasker(tokenizer, prob=prob, max_masked=most)
        sizes = {len(masker.choose(tokens, rng)) for _ in range(50)}
        assert sizes == {expected}


def test_special_tokens_stay(tokenizer):
    tokens, rng = encode(tokenizer), np.random.default_rng(0)
    masker = WordMasker(tokenizer, prob=1.0, max_masked=40)
    for _ in range(20):
        masked, labels = masker(tokens, rng)
        special = tokens <= 4
        assert (masked[special] == tokens[special]).all()
        assert (labels[special] == -100).all()
        assert (labels[~special] == tokens[~special]).all()
        drawn = masked[(masked != tokens) & (masked != masker.mask_id)]
        assert (drawn > 4).all()
    empty = encode(tokenizer, '')
    masked, labels = masker(empty, rng)
    assert (masked == empty).all()
    assert (labels == -100).all()


def test_words_go_whole_and_runs_follow_each_other(tokenizer):
    tokens, rng = encode(tokenizer), np.random.default_rng(0)
    text = [tokenizer.id_to_token(int(token)) for token in tokens]
    pieces = [i for i, word in enumerate(text) if word.startswith('##')]
    assert len(pieces) == 3
    whole = WordMasker(tokenizer, skipgram_prob=0.0)
    # More than one word would be cut down to the wanted number.
    runs = [
        whole._run(i, whole._continues[tokens[1:-1]], rng)
        for i in range(len(tokens) - 2)
    ]
    for piece in pieces:
        assert runs[piece - 1] == runs[piece - 2] == range(piece - 2, piece)
    grams = WordMasker(tokenizer, skipgram_prob=1.0, whole_word=False)
    sizes = [
        len(grams._run(3, grams._continues[tokens[1:]], rng))
        for _ in range(200)
    ]
    assert set(sizes) == {2, 3}


def test_fates_are_80_10_10(tokenizer):
    tokens, rng = encode(tokenizer), np.random.default_rng(0)
    masker = WordMasker(tokenizer, prob=1.0, max_masked=40)
    hidden = stayed = total = 0
    for _ in range(300):
        masked, labels = masker(tokens, rng)
        places = labels >= 0
        total += places.sum()
        hidden += (masked[places] == masker.mask_id).sum()
        stayed += (masked[places] == tokens[places]).sum()
    assert 0.77 < hidden / total < 0.83
    # A word drawn at random may be the word itself.
    assert 0.08 < stayed / total < 0.13


def test_transform_is_seeded_by_numpy(tmp_path):
    vocab = write_tiny_vocab(tmp_path / 'vocab.txt')
    tokenize = TRANSFORMS.build(
        dict(type='mmtpr.TokenizeBert', vocab=vocab, max_length=24)
    )
    mask = TRANSFORMS.build(dict(type='mmtpr.MaskBertTokens', vocab=vocab))
    found = []
    for _ in range(2):
        np.random.seed(3)
        found.append(mask(tokenize(dict(caption=CAPTION))))
    assert (found[0]['mlm_tokens'] == found[1]['mlm_tokens']).all()
    labels, tokens = found[0]['mlm_labels'], found[0]['tokens']
    assert (labels[labels != -100] == tokens[labels != -100]).all()
    assert (found[0]['mlm_tokens'] != tokens).any()
    assert mask(dict(img_path='a.jpg')) == dict(img_path='a.jpg')


def test_wrong_numbers(tokenizer):
    with pytest.raises(ValueError, match='prob=0 must be'):
        WordMasker(tokenizer, prob=0)
    with pytest.raises(ValueError, match='skipgram_size=1'):
        WordMasker(tokenizer, skipgram_size=1)
