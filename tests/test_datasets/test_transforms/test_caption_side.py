import gzip
import json
import pickle
from collections import Counter

import numpy as np
import open_clip
import pytest
import torch

from mmtpr.datasets.transforms import (
    CaptionEDA,
    CleanPersonCaption,
    MaskTokens,
    TokenizeCaption,
)
from mmtpr.text.clip_tokenizer import build_tokenizer

SOT, EOT, MASK = 49406, 49407, 49405


def test_tokens_are_open_clips():
    caption = 'A man in a RED jacket.'
    tokens = TokenizeCaption()(dict(caption=caption))['tokens']
    assert tokens.dtype == torch.long
    expected = open_clip.get_tokenizer('ViT-B-16')([caption])[0]
    assert tokens.tolist() == expected.tolist()


def test_long_caption_keeps_its_end():
    transform = TokenizeCaption(context_length=16)
    tokens = transform(dict(caption='red ' * 50))['tokens']
    assert tokens.shape == (16,)
    assert tokens[0] == SOT
    assert tokens[-1] == EOT
    assert len(set(tokens[1:-1].tolist())) == 1


def test_cut_captions_say_so():
    transform = TokenizeCaption(context_length=8)
    for words, cut in ((0, False), (6, False), (7, True), (50, True)):
        found = transform(dict(caption='red ' * words))
        assert found['caption_cut'] is cut, words
    other = TokenizeCaption(context_length=8, source='eda', target='ids')
    assert other(dict(eda='red ' * 9))['eda_cut'] is True


def test_sample_without_caption_has_no_tokens():
    assert TokenizeCaption()(dict(img_path='a')) == dict(img_path='a')
    assert MaskTokens()(dict(img_path='a')) == dict(img_path='a')


def test_other_keys():
    transform = TokenizeCaption(source='eda_caption', target='eda_tokens')
    out = transform(dict(eda_caption='a man'))
    assert out['eda_tokens'][:2].tolist() == [SOT, 320]


def test_own_vocabulary(tmp_path):
    path = tmp_path / 'vocab.txt.gz'
    with gzip.open(path, 'wt', encoding='utf-8') as file:
        file.write('#version\nr e\nre d</w>\n')
    cfg = dict(bpe_path=str(path), context_length=8)
    transform = TokenizeCaption(tokenizer=cfg)
    tokens = transform(dict(caption='red'))['tokens']
    # 512 bytes, 2 merges (and the empty last line), then start and end
    assert tokens.shape == (8,)
    assert (tokens != 0).sum() == 3
    assert transform.context_length == 8
    assert TokenizeCaption(cfg, context_length=5).context_length == 5


def test_missing_vocabulary_and_unknown_model(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'none.gz" does not exist'):
        TokenizeCaption(dict(bpe_path=str(tmp_path / 'none.gz')))
    with pytest.raises(ValueError, match='has no model "ViT-B16"') as caught:
        TokenizeCaption('ViT-B16')
    assert 'ViT-B-16' in str(caught.value)


def test_hugging_face_without_transformers(monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'transformers', None)
    for request in (dict(hf='bert-base-uncased'), 'roberta-ViT-B-32'):
        with pytest.raises(ImportError, match=r'mmtpr\[blip2\]'):
            TokenizeCaption(request)


def test_tokenizer_is_shared_and_pickles():
    assert build_tokenizer('ViT-B-16', 20) is build_tokenizer('ViT-B-16', 20)
    again = pickle.loads(pickle.dumps(TokenizeCaption()))
    assert again(dict(caption='a man'))['tokens'][1] == 320


def masked(tokens, **kwargs):
    out = MaskTokens(**kwargs)(dict(tokens=torch.tensor(tokens)))
    return out['mlm_tokens'].numpy(), out['mlm_labels'].numpy()


def test_mask_shares():
    np.random.seed(0)
    ordinary = np.random.randint(1, MASK, 20_000)
    tokens = [SOT, *ordinary, EOT, 0, 0]
    changed, labels = masked(tokens)
    chosen = labels != -100
    assert 0.14 < chosen.mean() < 0.16
    np.testing.assert_array_equal(labels[chosen], np.array(tokens)[chosen])
    fate = Counter(
        'mask' if new == MASK else 'kept' if new == old else 'random'
        for new, old in zip(changed[chosen], labels[chosen], strict=True)
    )
    total = chosen.sum()
    assert 0.77 < fate['mask'] / total < 0.83
    assert 0.08 < fate['random'] / total < 0.12
    assert 0.08 < fate['kept'] / total < 0.12
    untouched = ~chosen
    np.testing.assert_array_equal(
        changed[untouched], np.array(tokens)[untouched]
    )
    assert changed.max() <= EOT
    # drawn ids are ordinary ones
    drawn = changed[chosen & (changed != MASK)]
    assert ((drawn >= 1) & (drawn < MASK)).all()


def test_special_tokens_are_never_masked():
    np.random.seed(1)
    for _ in range(50):
        changed, labels = masked([SOT, 5, MASK, EOT, 0], prob=1.0)
        assert labels.tolist() == [-100, 5, -100, -100, -100]
        assert changed[[0, 2, 3, 4]].tolist() == [SOT, MASK, EOT, 0]


def test_at_least_one_is_masked_where_there_is_one():
    np.random.seed(2)
    for _ in range(50):
        _, labels = masked([SOT, 5, 6, EOT], prob=1e-6)
        assert (labels != -100).sum() == 1
    _, labels = masked([SOT, EOT, 0, 0])
    assert (labels == -100).all()


def test_ids_of_another_vocabulary():
    np.random.seed(3)
    kwargs = dict(mask_id=103, ordinary=(1, 110), special_ids=(101, 102))
    tokens = [101, *range(1, 101), 102, 0]
    drawn = set()
    for _ in range(200):
        changed, labels = masked(tokens, prob=1.0, **kwargs)
        assert labels[0] == labels[-1] == labels[-2] == -100
        drawn |= set(changed[1:101].tolist()) - {103}
    assert drawn == {*range(1, 101), *range(104, 110)}


@pytest.mark.parametrize('bad', [dict(prob=0), dict(ordinary=(5, 5))])
def test_mask_arguments(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        MaskTokens(**bad)


def test_masking_leaves_the_tokens_alone():
    tokens = torch.tensor([SOT, 1, 2, 3, EOT])
    MaskTokens(prob=1.0)(dict(tokens=tokens))
    assert tokens.tolist() == [SOT, 1, 2, 3, EOT]


SENTENCE = 'the man wears a red jacket and carries a black bag today'
WORDS = SENTENCE.split()
TABLE = dict(man=['guy'], bag=['purse', 'handbag'])


def eda(seed, **kwargs):
    np.random.seed(seed)
    out = CaptionEDA(**kwargs)(dict(caption=SENTENCE))
    return out['caption'].split()


@pytest.mark.parametrize('seed', range(5))
def test_swap_keeps_the_words(seed):
    out = eda(seed, operations=['swap'])
    assert sorted(out) == sorted(WORDS)
    different = sum(a != b for a, b in zip(out, WORDS, strict=True))
    assert different in (0, 2)  # 0 where two equal words change places
    assert eda(seed, operations=['swap'], alpha=0.9) != WORDS


def test_delete_keeps_the_order_and_one_word():
    lengths = []
    for seed in range(200):
        out = eda(seed, operations=['delete'])
        rest = iter(WORDS)
        assert all(word in rest for word in out)
        lengths.append(len(out))
    assert abs(np.mean(lengths) - 0.9 * len(WORDS)) < 0.3
    assert len(eda(0, operations=['delete'], alpha=1.0)) == 1


def test_replace_uses_the_table_and_keeps_punctuation():
    kwargs = dict(operations=['replace'], synonyms=TABLE)
    changed = {
        (old, new)
        for seed in range(40)
        for old, new in zip(WORDS, eda(seed, **kwargs), strict=True)
        if old != new
    }
    assert changed == {('man', 'guy'), ('bag', 'purse'), ('bag', 'handbag')}
    out = CaptionEDA(synonyms=dict(bag=['purse']), operations=['replace'])(
        dict(caption='A Bag, please.')
    )
    assert out['caption'] == 'A purse, please.'


def test_insert_adds_synonyms():
    for seed in range(20):
        out = eda(seed, operations=['insert'], synonyms=TABLE, alpha=0.2)
        assert len(out) == len(WORDS) + 2
        extra = Counter(out) - Counter(WORDS)
        assert set(extra) <= {'guy', 'purse', 'handbag'}
    plain = CaptionEDA(operations=['insert'], synonyms=dict(x=['y']))
    assert plain(dict(caption='a man'))['caption'] == 'a man'


def test_eda_writes_elsewhere_and_reads_a_table_from_a_file(tmp_path):
    path = tmp_path / 'synonyms.json'
    path.write_text(json.dumps(TABLE), 'utf-8')
    transform = CaptionEDA(str(path), target='eda', operations=['replace'])
    out = transform(dict(caption='a man'))
    assert out == dict(caption='a man', eda='a guy')
    assert transform(dict(role='gallery')) == dict(role='gallery')
    never = CaptionEDA(prob=0)
    assert never(dict(caption=' a  man'))['caption'] == ' a  man'


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(operations=['shuffle']), r"Unknown operations \['shuffle'\]"),
        (dict(operations=['replace']), 'need synonyms'),
        (dict(alpha=0), 'alpha=0 must be'),
        (dict(prob=2), 'prob=2 in'),
    ],
)
def test_eda_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        CaptionEDA(**kwargs)


@pytest.mark.parametrize(
    ('kwargs', 'expected'),
    [
        (dict(), "a man's red t-shirt, 2 bags."),
        (dict(lower=False), "A man's RED t-shirt, 2 bags."),
        (dict(strip_punctuation=True), 'a man s red t shirt 2 bags'),
        (dict(max_words=3), "a man's red"),
    ],
)
def test_clean(kwargs, expected):
    caption = "A man's\x00 RED\tt-shirt,\u200b 2  bags.\n"
    out = CleanPersonCaption(**kwargs)(dict(caption=caption))
    assert out['caption'] == expected


def test_clean_without_caption():
    assert CleanPersonCaption()(dict(pid=1)) == dict(pid=1)
