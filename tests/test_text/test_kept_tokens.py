import copy
import os
import pickle

import pytest
import torch

from mmtpr.text.kept_tokens import KeptTokens, Tokenized, vocabulary_size


def found(ids, num_tokens=3, is_cut=True):
    return Tokenized(torch.tensor(ids), num_tokens, is_cut)


def same(a, b):
    return a[1:] == b[1:] and torch.equal(a.tokens, b.tokens)


@pytest.mark.parametrize(
    ('vocab_size', 'largest', 'num_bytes'),
    [(49408, 65535, 4 * (8 + 3 + 10)), (None, 2**32 - 1, 4 * (8 + 3 + 20))],
)
def test_what_is_kept_is_found(vocab_size, largest, num_bytes):
    table = KeptTokens(4, 5, vocab_size)
    kept = found([1, largest, 7, 0, 0])
    assert table.num_bytes == num_bytes
    assert table.find(2, 'a caption') is None
    assert table.keep(2, 'a caption', kept)
    assert same(table.find(2, 'a caption'), kept)
    assert table.find(2, 'a caption').tokens.dtype == torch.long
    assert table.find(1, 'a caption') is None
    # What is found may be changed.
    table.find(2, 'a caption').tokens.zero_()
    assert same(table.find(2, 'a caption'), kept)


def test_another_caption_of_the_sample_is_not_found():
    table = KeptTokens(1, 5, 100)
    table.keep(0, 'red coat', found([1, 2, 3, 0, 0]))
    assert table.find(0, 'coat red') is None
    table.keep(0, 'coat red', found([1, 3, 2, 0, 0]))
    assert table.find(0, 'coat red').tokens.tolist() == [1, 3, 2, 0, 0]
    assert table.find(0, 'red coat') is None
    lone = 'half a pair: \ud83d'  # json may hold it, utf-8 may not
    assert table.keep(0, lone, found([1] * 5))
    assert table.find(0, lone) is not None


def test_what_does_not_fit_is_not_kept():
    table = KeptTokens(1, 5, 100)
    assert not table.keep(0, 'a', found([1, 65536, 0, 0, 0]))
    assert not table.keep(0, 'a', found([1, -1, 0, 0, 0]))
    assert not table.keep(0, 'a', found([1, 2]))
    assert not table.keep(0, 'a', found([1.0, 2, 0, 0, 0]))
    for index in (1, -1):
        assert not table.keep(index, 'a', found([1, 2, 0, 0, 0]))
        assert table.find(index, 'a') is None
    assert table.find(0, 'a') is None


def test_a_row_half_written_is_not_found():
    table = KeptTokens(1, 5, 100)
    table.keep(0, 'a', found([1, 2, 3, 0, 0]))
    for place in range(table.num_bytes):
        before = table._memory[place]
        table._memory[place] = before ^ 1
        assert table.find(0, 'a') is None
        table._memory[place] = before
    assert table.find(0, 'a') is not None


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='no fork')
def test_a_forked_process_shares_it():
    table = KeptTokens(2, 5, 100)
    child = os.fork()
    if not child:
        table.keep(1, 'from below', found([1, 2, 3, 0, 0]))
        os._exit(0)
    os.waitpid(child, 0)
    assert table.find(1, 'from below') is not None


def test_copies_are_empty():
    table = KeptTokens(2, 5, 100)
    table.keep(1, 'a', found([1, 2, 3, 0, 0]))
    for other in (copy.deepcopy(table), pickle.loads(pickle.dumps(table))):
        assert other.num_bytes == table.num_bytes
        assert other.find(1, 'a') is None
        other.keep(1, 'b', found([1, 2, 3, 0, 0]))
    assert table.find(1, 'a') is not None


def test_vocabulary_size_of_clip_and_of_others():
    from mmtpr.text.clip_tokenizer import build_tokenizer

    assert vocabulary_size(build_tokenizer('ViT-B-16')) == 49408
    assert vocabulary_size(lambda captions: captions) is None
