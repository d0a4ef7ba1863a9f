"""Captions of a dataset are tokenized once."""

import json

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from mmtpr.datasets import CUHKPEDES
from mmtpr.datasets.transforms import TokenizeBert, TokenizeCaption
from mmtpr.testing import write_tiny_cuhk, write_tiny_vocab
from mmtpr.text.clip_tokenizer import build_tokenizer

TOKENIZE = dict(type='mmtpr.TokenizeCaption')
PACK = dict(type='mmtpr.PackRetrievalInputs')


class Counting:
    """A tokenizer that counts what it is asked."""

    def __init__(self, name='ViT-B-16', context_length=77):
        self.inner = build_tokenizer(name, context_length)
        self.context_length = self.inner.context_length
        self.vocab_size = self.inner.vocab_size
        self.asked = []

    def __call__(self, captions, context_length=None):
        self.asked += captions
        return self.inner(captions, context_length)


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return write_tiny_cuhk(tmp_path_factory.mktemp('cuhk'))


def build(root, *pipeline, **options):
    return CUHKPEDES(
        data_root=str(root),
        ann_file='reid_raw.json',
        pipeline=[*pipeline, PACK],
        **options,
    )


def counting(dataset):
    tokenizer = Counting()
    tokenize = dataset.pipeline.transforms[0]
    tokenize.tokenizer = tokenizer
    return tokenizer


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        a, b = a['data_samples'], b['data_samples']
        assert torch.equal(a.tokens, b.tokens)
        assert a.metainfo == b.metainfo


def test_the_second_epoch_asks_no_tokenizer(root):
    plain = build(root, dict(TOKENIZE, keep=False))
    dataset = build(root, TOKENIZE)
    tokenizer = counting(dataset)
    expected = [*plain]
    assert_same(dataset, expected)
    asked = len(tokenizer.asked)
    assert asked == len(dataset)
    assert_same(dataset, expected)
    assert len(tokenizer.asked) == asked


def test_what_workers_of_an_epoch_keep_the_next_ones_find(root):
    dataset = build(root, TOKENIZE)
    expected = [*build(root, dict(TOKENIZE, keep=False))]
    loader = DataLoader(
        dataset,
        batch_size=4,
        num_workers=2,
        collate_fn=list,
        multiprocessing_context='fork',
    )
    assert_same((s for batch in loader for s in batch), expected)
    table = dataset.pipeline.transforms[0]._kept
    for index, sample in enumerate(expected):
        caption = sample['data_samples'].caption
        assert table.find(index, caption) is not None


def test_workers_that_were_not_forked(root):
    dataset = build(root, TOKENIZE)
    loader = DataLoader(
        dataset,
        batch_size=8,
        num_workers=1,
        collate_fn=pseudo_collate,
        multiprocessing_context='spawn',
    )
    tokens = [t.tokens for batch in loader for t in batch['data_samples']]
    expected = [*build(root, dict(TOKENIZE, keep=False))]
    assert len(tokens) == len(expected)
    for a, b in zip(tokens, expected, strict=True):
        assert torch.equal(a, b['data_samples'].tokens)


def test_a_tokenizer_put_in_later_is_asked(root):
    dataset = build(root, TOKENIZE)
    tokenize = dataset.pipeline.transforms[0]
    first = [s['data_samples'].tokens for s in dataset]

    def backwards(captions, context_length=None):
        return Counting()([c[::-1] for c in captions], context_length)

    tokenize.tokenizer = backwards
    second = [s['data_samples'].tokens for s in dataset]
    plain = Counting()
    for sample, a, b in zip(dataset, first, second, strict=True):
        caption = sample['data_samples'].caption
        assert torch.equal(a, plain([caption])[0])
        assert torch.equal(b, plain([caption[::-1]])[0])


@pytest.mark.parametrize('target', [None, 'eda_caption'])
def test_captions_that_change_are_tokenized_as_they_are(root, target):
    source, tokens = (target or 'caption'), 'eda_tokens'
    eda = dict(type='mmtpr.CaptionEDA', target=target)
    tokenize = dict(TOKENIZE, source=source, target=tokens)
    runs = []
    for keep in (True, False):
        pipeline = [TOKENIZE, eda, dict(tokenize, keep=keep)]
        dataset = build(root, *pipeline)
        np.random.seed(0)
        runs.append([s['data_samples'] for _ in range(4) for s in dataset])
    for a, b in zip(*runs, strict=True):
        assert torch.equal(a.eda_tokens, b.eda_tokens)
        assert torch.equal(a.tokens, b.tokens)
        assert a.metainfo == b.metainfo
    changed = [not torch.equal(a.tokens, a.eda_tokens) for a in runs[0]]
    assert any(changed)


def test_subsets_and_samples_without_dataset(root):
    dataset = build(root, TOKENIZE)
    expected = [*build(root, dict(TOKENIZE, keep=False))]
    assert_same(dataset, expected)
    part = dataset.get_subset([5, 3])
    for sample, index in zip(part, (5, 3), strict=True):
        tokens = expected[index]['data_samples'].tokens
        assert torch.equal(sample['data_samples'].tokens, tokens)
    dataset.get_subset_([5, 3])
    for sample, index in zip(dataset, (5, 3), strict=True):
        tokens = expected[index]['data_samples'].tokens
        assert torch.equal(sample['data_samples'].tokens, tokens)
    assert 'tokens' in TokenizeCaption()(dict(caption='A man.'))


def test_long_captions_stay_marked_as_cut(tmp_path):
    captions = ['red ' * 90, 'red coat']
    record = dict(id=1, split='train', file_path='a.jpg', captions=captions)
    (tmp_path / 'imgs').mkdir()
    (tmp_path / 'reid_raw.json').write_text(json.dumps([record]))
    dataset = build(tmp_path, TOKENIZE)
    for _ in range(2):
        cut = [s['data_samples'].caption_cut for s in dataset]
        assert cut == [True, False]


def test_tokens_of_bert_and_their_mask(tmp_path):
    pytest.importorskip('tokenizers')
    vocab = write_tiny_vocab(tmp_path / 'vocab.txt')
    for caption in ('A man, wearing red.', 'man ' * 30, 'a [PAD] man', ''):
        plain = TokenizeBert(vocab, max_length=10, keep=False)
        keeping = TokenizeBert(vocab, max_length=10)
        keeping.reserve(1)
        expected = plain(dict(caption=caption, sample_idx=0))
        mask = plain.tokenizer.encode(caption)[1]
        assert torch.equal(expected['tokens_mask'], mask)
        for _ in range(2):
            found = keeping(dict(caption=caption, sample_idx=0))
            assert found.keys() == expected.keys()
            assert found['caption_cut'] == expected['caption_cut']
            for name in ('tokens', 'tokens_mask'):
                assert torch.equal(found[name], expected[name])


def test_a_tokenizer_that_draws_is_asked_each_time():
    transform = TokenizeCaption()
    transform.tokenizer = Counting()
    transform.tokenizer.reduction_fn = object()
    transform.reserve(1)
    for _ in range(2):
        transform(dict(caption='A man.', sample_idx=0))
    assert len(transform.tokenizer.asked) == 2
