"""BERT tokens, against transformers' tokenizer where that is installed."""

import pickle
from pathlib import Path

import pytest
import torch

from mmtpr.datasets.transforms import (
    PackRetrievalInputs,
    TokenizeBert,
    TokenizeCaption,
)
from mmtpr.testing import write_tiny_vocab
from mmtpr.text.bert_tokenizer import clean_blip_caption

pytest.importorskip(
    'tokenizers', reason='BERT tokens need the extra [blip2] (tokenizers)'
)


@pytest.fixture(scope='module')
def vocab(tmp_path_factory):
    return write_tiny_vocab(tmp_path_factory.mktemp('vocab') / 'vocab.txt')


def test_words_pieces_padding_and_mask(vocab):
    transform = TokenizeBert(vocab, max_length=10)
    sample = transform(dict(caption='A Man, wearing red SHIRTS... zzz!'))
    words = Path(vocab).read_text(encoding='utf-8').split()
    wanted = ['[CLS]', 'a', 'man', ',', 'wearing', 'red', 'shirt', '##s']
    wanted += ['[UNK]', '[SEP]']
    assert [words[i] for i in sample['tokens']] == wanted
    assert sample['tokens'].dtype == torch.int64
    short = transform(dict(caption='a man'))
    assert short['tokens'].tolist()[:5] == [2, 5, 7, 3, 0]
    assert short['tokens_mask'].tolist() == [1] * 4 + [0] * 6
    assert torch.equal((short['tokens'] != 0).long(), short['tokens_mask'])


def test_long_captions_are_cut_and_keep_the_end(vocab):
    sample = TokenizeBert(vocab, max_length=5)(dict(caption='red ' * 40))
    assert sample['tokens'].tolist() == [2, 14, 14, 14, 3]
    assert sample['caption_cut'] is True


@pytest.mark.parametrize('clean', [True, False])
def test_cut_captions_say_so(vocab, clean):
    transform = TokenizeBert(vocab, max_length=8, clean=clean)
    for words, cut in ((0, False), (6, False), (7, True), (60, True)):
        sample = transform(dict(caption='red ' * words))
        assert sample['caption_cut'] is cut, words
    few = TokenizeBert(vocab, max_words=2, target='ids', source='edit')
    assert few(dict(edit='a red hat'))['edit_cut'] is True
    packed = PackRetrievalInputs()(transform(dict(caption='red ' * 7)))
    assert packed['data_samples'].caption_cut is True


def test_samples_without_caption_and_other_keys(vocab):
    transform = TokenizeBert(vocab, source='edit', target='ids')
    assert transform(dict(img_path='a.jpg')) == dict(img_path='a.jpg')
    sample = transform(dict(edit='a hat', caption='a bag'))
    assert sample['ids'].shape == (32,)
    packed = PackRetrievalInputs(token_keys=('ids',))(sample)
    assert torch.equal(packed['data_samples'].ids, sample['ids'])


def test_cleaning_as_in_training():
    dirty = '"The Man":  (wearing)\n a red-blue shirt; #1~ * '
    assert clean_blip_caption(dirty) == 'the man wearing a red-blue shirt 1'
    assert clean_blip_caption('a b c d', max_words=2) == 'a b'


def test_uncleaned_punctuation_becomes_tokens(vocab):
    sample = TokenizeBert(vocab, 6, clean=False)(dict(caption='a man.'))
    assert sample['tokens'].tolist() == [2, 5, 7, 29, 3, 0]


def test_folder_json_and_pickle(vocab, tmp_path):
    transform = TokenizeBert(vocab)
    sample = transform(dict(caption='a woman in blue'))
    path = tmp_path / 'tokenizer.json'
    transform.tokenizer.tokenizer.save(str(path))
    for other in (
        TokenizeBert(str(path)),
        TokenizeBert(str(tmp_path)),
        pickle.loads(pickle.dumps(transform)),
    ):
        again = other(dict(caption='a woman in blue'))
        assert torch.equal(again['tokens'], sample['tokens'])


@pytest.mark.parametrize('clean', [True, False])
def test_one_way_to_tokenize_with_bert(vocab, clean):
    long = 'The man, in red. ' * 9
    alias = TokenizeBert(vocab, 12, clean, max_words=7)
    one = TokenizeCaption(dict(bert=vocab, clean=clean, max_words=7), 12)
    for caption in ('a man.', long, ''):
        a, b = alias(dict(caption=caption)), one(dict(caption=caption))
        assert a.keys() == b.keys()
        for key in ('tokens', 'tokens_mask'):
            assert torch.equal(a[key], b[key])
        assert a['caption_cut'] is b['caption_cut'] is (caption == long)
    assert TokenizeCaption(dict(bert=vocab)).context_length == 32
    tokens = one.tokenizer(['a man.', long])
    assert torch.equal(tokens[1], one(dict(caption=long))['tokens'])


def test_bad_vocabularies(tmp_path, vocab):
    with pytest.raises(FileNotFoundError, match=r'absent\.txt'):
        TokenizeBert(str(tmp_path / 'absent.txt'))
    path = tmp_path / 'words.txt'
    path.write_text('a\nb\n', encoding='utf-8')
    with pytest.raises(ValueError, match='not one of BERT'):
        TokenizeBert(str(path))
    path = tmp_path / 'shifted.txt'
    text = Path(vocab).read_text(encoding='utf-8')
    path.write_text('first\n' + text, encoding='utf-8')
    with pytest.raises(ValueError, match=r'\[PAD\] is not 0'):
        TokenizeBert(str(path))
    with pytest.raises(ValueError, match='max_length=2'):
        TokenizeBert(vocab, max_length=2)


def test_tiny_vocabulary_agrees_with_transformers(vocab):
    assert len(their_tokenizer(vocab)) == len(Path(vocab).read_text().split())
    check_against_transformers(vocab)


def test_real_vocabulary_agrees_with_transformers(tokenizers_dir):
    path = str(tokenizers_dir / 'bert-base-uncased-vocab.txt')
    assert len(their_tokenizer(path)) == 30522
    check_against_transformers(path)


def their_tokenizer(path):
    transformers = pytest.importorskip('transformers')
    words = Path(path).read_text(encoding='utf-8').splitlines()
    vocab = {word: i for i, word in enumerate(words)}
    # 4.x takes a file, 5.x the words.
    old = transformers.__version__.startswith('4.')
    return transformers.BertTokenizerFast(path if old else vocab)


def check_against_transformers(path):
    theirs = their_tokenizer(path)
    transform = TokenizeBert(path, max_length=16, clean=False)
    for caption in (
        'The man wears a light-grey T-shirt & khaki trousers.',
        'Café-coloured backpack, naïve pattern; 3/4 sleeves?!',
        'a ' * 40,
        '',
    ):
        wanted = theirs(
            caption, padding='max_length', truncation=True, max_length=16
        )
        sample = transform(dict(caption=caption))
        assert sample['tokens'].tolist() == wanted['input_ids']
        assert sample['tokens_mask'].tolist() == wanted['attention_mask']
