import hashlib
import json
import re

import cv2
import pytest
from open_clip.tokenizer import SimpleTokenizer

from mmtpr.synthesis import ToySettings, write_toy_data
from mmtpr.synthesis.writer import draw_all

SMALL = ToySettings(
    size=(64, 32), train=4, val=2, test=3, views=2, pretrain=130
)


def _digest(folder):
    digest = hashlib.sha256()
    for path in sorted(folder.rglob('*')):
        if path.is_file():
            digest.update(str(path.relative_to(folder)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp('world') / 'toy'
    assert write_toy_data(folder, SMALL)
    return folder


def test_files_on_disk(world):
    records = json.loads((world / 'target/reid_raw.json').read_text())
    assert len(records) == 18
    for record in records:
        image = cv2.imread(str(world / 'target/imgs' / record['file_path']))
        assert image.shape == (64, 32, 3)
    pairs = json.loads((world / 'pretrain/gene_attrs/g_000.json').read_text())
    assert len(pairs) == 130
    assert all((world / 'pretrain' / pair['image']).exists() for pair in pairs)
    truth = json.loads((world / 'pretrain/truth.json').read_text())
    assert len(truth['kinds']) == 130
    names = json.loads((world / 'pretrain/label_names.json').read_text())
    assert len(names) == len(pairs[0]['label'])
    assert not [p for p in world.parent.iterdir() if p.name[0] == '.']


def test_files_do_not_depend_on_the_number_of_processes(world, tmp_path):
    assert write_toy_data(tmp_path / 'toy', SMALL, processes=2)
    assert _digest(tmp_path / 'toy') == _digest(world)


def test_same_settings_are_not_written_again(world):
    before = _digest(world)
    assert not write_toy_data(world, SMALL)
    assert _digest(world) == before


def test_other_content_is_an_error(world, tmp_path):
    other = ToySettings(size=(64, 32), seed=1)
    with pytest.raises(FileExistsError, match=r"differs in \['pretrain', "):
        write_toy_data(world, other)
    with pytest.raises(FileExistsError, match='is no toy data'):
        write_toy_data(tmp_path, SMALL)


def test_a_failed_run_leaves_nothing(tmp_path, monkeypatch):
    def fail(*args):
        raise OSError('disk full')

    monkeypatch.setattr('mmtpr.synthesis.writer.write_vocabulary', fail)
    with pytest.raises(OSError, match='disk full'):
        write_toy_data(tmp_path / 'toy', SMALL)
    assert not list(tmp_path.iterdir())


def test_unwritable_image_is_named(tmp_path, monkeypatch):
    from mmtpr.synthesis import ProceduralWorld, sample_identities
    from mmtpr.synthesis.layouts import Shot

    monkeypatch.setattr('cv2.imwrite', lambda *args: False)
    shot = Shot(sample_identities(1)[0], 0, 'a.jpg')
    with pytest.raises(OSError, match=r'a\.jpg" cannot be written'):
        draw_all(ProceduralWorld(size=(64, 32)), [shot], tmp_path)


def test_vocabulary_gives_every_word_one_token(world):
    small = SimpleTokenizer(bpe_path=str(world / 'vocabulary.txt.gz'))
    full = SimpleTokenizer()
    assert small.vocab_size < 1500
    records = json.loads((world / 'target/reid_raw.json').read_text())
    for record in records:
        for text in record['captions']:
            assert len(small.encode(text)) == len(full.encode(text))
            assert small.decode(small.encode(text)).split() == (
                full.decode(full.encode(text)).split()
            )
    assert small.eot_token_id == small.vocab_size - 1


def test_bert_words_cover_captions_prompts_and_labels(world):
    words = (world / 'vocab.txt').read_text().split('\n')
    assert words[:5] == ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
    assert words[-1] == ''
    words = words[:-1]
    assert len(set(words)) == len(words) <= 256
    known = set(words)
    records = json.loads((world / 'target/reid_raw.json').read_text())
    for record in records:
        for tokens in record['processed_tokens']:
            # BERT splits at hyphens and apostrophes.
            parts = re.findall(r'[a-z0-9]+', ' '.join(tokens))
            assert not set(parts) - known
    assert {'no', 'suitcase', 'or', '##x', '-', 'instead'} <= known


def test_data_without_words_of_bert_are_given_them(world):
    path = world / 'vocab.txt'
    before = path.read_bytes()
    path.unlink()
    assert not write_toy_data(world, SMALL)
    assert path.read_bytes() == before
