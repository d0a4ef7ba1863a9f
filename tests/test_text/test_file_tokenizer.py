"""Tokenizers of one file give the ids of those they were made of."""

import pytest
import torch

from mmtpr.export.tokenizer_file import PROBES, write_tokenizer
from mmtpr.synthesis.vocabulary import write_vocabulary
from mmtpr.text.clip_tokenizer import build_tokenizer
from mmtpr.text.file_tokenizer import FileTokenizer

pytest.importorskip('tokenizers', reason='the extra [onnx] is not installed')


@pytest.mark.parametrize('clean', ['lower', 'whitespace', 'canonicalize'])
def test_clip(tmp_path, clean):
    built = build_tokenizer(dict(clean=clean))
    request = write_tokenizer(built, tmp_path / 'tokenizer.json')
    assert request['clean'] == clean
    written = build_tokenizer(request, 20)
    assert written.context_length == 20
    assert written.vocab_size == built.vocab_size
    for length in (5, 20, 300):
        assert torch.equal(
            written([*PROBES], length), built([*PROBES], length)
        )


def test_a_vocabulary_of_ones_own(tmp_path):
    write_vocabulary(['a woman in a red coat'], tmp_path / 'words.gz')
    built = build_tokenizer(dict(bpe_path=str(tmp_path / 'words.gz')), 30)
    request = write_tokenizer(built, tmp_path / 'tokenizer.json')
    caption = 'A woman in a purple coat'
    assert torch.equal(
        build_tokenizer(request, 30)([caption]), built([caption])
    )
    # Once more, from the file itself.
    again = write_tokenizer(
        build_tokenizer(request, 30), tmp_path / 'again.json'
    )
    assert again['pad_id'] == 0


def test_what_draws_words_is_refused(tmp_path):
    built = build_tokenizer(dict(reduction_mask='random'))
    with pytest.raises(ValueError, match='cannot be written as one file'):
        write_tokenizer(built, tmp_path / 'tokenizer.json')


def test_bad_files(tmp_path):
    with pytest.raises(FileNotFoundError, match='does not exist'):
        FileTokenizer(str(tmp_path / 'none.json'))
    (tmp_path / 'bad.json').write_text('{}')
    with pytest.raises(ValueError, match=r'is no tokenizer\.json'):
        FileTokenizer(str(tmp_path / 'bad.json'))
    with pytest.raises(ValueError, match='clean must be one of'):
        FileTokenizer(str(tmp_path / 'bad.json'), clean='all')
