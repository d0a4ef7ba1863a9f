"""Pseudo words in the text towers of open_clip."""

import copy

import open_clip
import pytest
import torch

from mmtpr.models.encoders.open_clip.pseudo_words import (
    end_positions,
    place_words,
)
from mmtpr.models.necks import TINet
from mmtpr.models.necks.prompt_template import PromptTemplate
from mmtpr.registry import MODELS
from mmtpr.testing import tiny_clip_cfg

SOT, EOT, STAR = 49406, 49407, 265


def build(**text):
    torch.manual_seed(0)
    cfg = tiny_clip_cfg(context_length=12)
    cfg['text_cfg'].update(text)
    if text:
        cfg['custom_text'] = True
    return MODELS.build(dict(type='mmtpr.OpenCLIPEncoder', model=cfg)).eval()


def tokenize(*texts, length=12):
    return open_clip.SimpleTokenizer(context_length=length)(list(texts))


@pytest.fixture(scope='module')
def case(private_parity):
    return torch.load(private_parity('word4per_mini.pt'), weights_only=True)


@pytest.fixture(scope='module')
def released(case, tmp_path_factory):
    path = tmp_path_factory.mktemp('clip') / 'clip.pt'
    torch.save(case['clip'], path)
    config = case['config']
    model = dict(
        embed_dim=config['embed_dim'],
        vision_cfg=dict(
            config['vision'], image_size=list(config['image_size'])
        ),
        text_cfg=config['text'],
    )
    encoder = dict(
        type='mmtpr.OpenCLIPEncoder',
        model=model,
        pretrained=str(path),
        quick_gelu=True,
    )
    return MODELS.build(encoder).eval()


@torch.no_grad()
def test_features_match_the_release(case, released):
    image = released.encode_image(case['image'])
    tinet = TINet(in_dim=32, out_dim=64, hidden_dim=48).eval()
    tinet.load_state_dict(case['tinet'])
    words = tinet(image)
    text = released.encode_text(case['caption_ids'])
    prompt = released.encode_text_with_words(case['prompt_ids'], words)
    composed = released.encode_text_with_words(
        case['composed_ids'], words, placeholder_id=case['placeholder_id']
    )
    for got, key in (
        (image, 'image_feat'),
        (text, 'text_feat'),
        (words[:, 0], 'pseudo_word'),
        (prompt, 'prompt_feat'),
        (composed, 'composed_feat'),
    ):
        torch.testing.assert_close(got, case[key], atol=1e-4, rtol=0)
    one = released.encode_text_with_words(case['prompt_ids'][:1], words)
    torch.testing.assert_close(one, prompt)


@pytest.mark.parametrize('custom', [False, True])
@torch.no_grad()
def test_words_that_are_embeddings_change_nothing(custom):
    encoder = build(**(dict(pool_type='argmax') if custom else {}))
    assert hasattr(encoder.clip, 'text') == custom
    tokens = tokenize('a * is red', 'the man with *')
    words = torch.zeros(2, 1, 32)
    words[:] = (
        encoder.clip.text if custom else encoder.clip
    ).token_embedding.weight[STAR]
    got = encoder.encode_text_with_words(tokens, words, STAR)
    torch.testing.assert_close(got, encoder.encode_text(tokens))
    got = encoder.encode_text_with_words(tokenize('a', 'the man with'), words)
    wanted = encoder.encode_text(tokenize('a *', 'the man with *'))
    torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize(
    'text',
    [
        dict(pool_type='last', no_causal_mask=True),
        dict(no_causal_mask=True),
        dict(embed_cls=True),
    ],
    ids=['last', 'two-way', 'class-token'],
)
@torch.no_grad()
def test_towers_that_are_not_causal(text):
    encoder = build(**text)
    tokens = tokenize('a * is red', 'a *')
    words = encoder.clip.text.token_embedding.weight[STAR].expand(2, 1, -1)
    got = encoder.encode_text_with_words(tokens, words, STAR)
    torch.testing.assert_close(got, encoder.encode_text(tokens))
    other = encoder.encode_text_with_words(tokens, words.flip(2), STAR)
    assert (other - got).abs().max() > 1e-3


@torch.no_grad()
def test_several_words_take_one_place():
    encoder = build()
    weight = encoder.clip.token_embedding.weight
    inner = tokenize('red green blue')[0, 1:4]
    words = weight[inner][None]
    got = encoder.encode_text_with_words(tokenize('a * is'), words, STAR)
    wanted = encoder.encode_text(tokenize('a red green blue is'))
    torch.testing.assert_close(got, wanted)


def test_long_captions_lose_their_end_never_word_or_eot():
    tokens = tokenize('a * is ' + 'red ' * 30)
    ends = end_positions(build().clip, tokens)
    placed, start, moved = place_words(tokens, ends, 4, STAR)
    assert placed[0, -1] == EOT
    assert (start.item(), moved.item()) == (2, 11)
    assert (placed == EOT).sum() == 1
    placed, start, moved = place_words(tokens, ends, 2)
    assert (start.item(), moved.item()) == (9, 11)
    assert placed[0, -1] == EOT


def test_gradients_reach_only_the_words():
    encoder = build()
    words = torch.randn(2, 1, 32, requires_grad=True)
    encoder.requires_grad_(False)
    features = encoder.encode_text_with_words(tokenize('a photo of'), words)
    features.square().sum().backward()
    assert (words.grad.abs().amax(dim=(1, 2)) > 0).all()


def test_wrong_use_is_explained():
    encoder = build()
    words = torch.zeros(2, 1, 32)
    late = tokenize('red ' * 30 + '*', 'a *')
    with pytest.raises(ValueError, match='1 of 2 captions have no'):
        encoder.encode_text_with_words(late, words, STAR)
    with pytest.raises(ValueError, match=r'\(B, W, C\), C the 32'):
        encoder.encode_text_with_words(late, torch.zeros(2, 32))
    with pytest.raises(ValueError, match='3 captions do not fit'):
        encoder.encode_text_with_words(tokenize('a', 'b', 'c'), words)
    with pytest.raises(ValueError, match='11 pseudo words'):
        encoder.encode_text_with_words(tokenize('a'), torch.zeros(2, 11, 32))
    with pytest.raises(ValueError, match='takes 12 text tokens'):
        encoder.encode_text_with_words(tokenize('a', length=9), words)


class TestTemplate:
    @pytest.fixture(scope='class')
    def clip(self):
        return build().clip

    def apply(self, clip, template, *texts, **kwargs):
        tokenizer = open_clip.SimpleTokenizer(context_length=12)
        template = PromptTemplate(clip, tokenizer, template, **kwargs)
        tokens = tokenizer(list(texts))
        return template(tokens, end_positions(clip, tokens))

    @pytest.mark.parametrize(
        'template', ['a * is , {}', '{} like *', 'a {} on *', '{}']
    )
    def test_ids_are_those_of_the_whole_sentence(self, clip, template):
        texts = ('red shoes', 'the blue one, now', '')
        got, cut = self.apply(clip, template, *texts)
        wanted = tokenize(*(template.format(text) for text in texts))
        torch.testing.assert_close(got, wanted)
        assert not cut.any()

    def test_captions_are_cut_and_counted(self, clip):
        texts = ('red ' * 30, 'red ' * 5, 'red')
        got, cut = self.apply(
            clip, 'a {} like *', *texts, placeholder='*', reserve=2
        )
        assert cut.tolist() == [True, False, False]
        # SOT, a, five words, like, *, EOT, two positions left free
        assert got[0].tolist()[7:] == [*tokenize('like *')[0, 1:4], 0, 0]
        assert (got[0] == STAR).sum() == 1

    def test_only_the_placeholder_of_the_template_counts(self, clip):
        got, _ = self.apply(clip, '{} like *', 'a * b', placeholder='*')
        assert (got[0] == STAR).nonzero().item() == 5

    def test_bad_templates(self, clip):
        with pytest.raises(ValueError, match='splits the placeholder'):
            self.apply(clip, 'a xqzvw {}', placeholder='xqzvw')
        with pytest.raises(ValueError, match='found 0 times'):
            self.apply(clip, 'a photo {}', placeholder='*')
        with pytest.raises(ValueError, match='found 2 times'):
            self.apply(clip, '* and * {}', placeholder='*')
        with pytest.raises(ValueError, match='leaves no room'):
            self.apply(clip, 'a ' * 11 + '{}')
        with pytest.raises(ValueError, match='twice'):
            self.apply(clip, '{} {}')


def test_under_wora():
    encoder = build()
    plain = copy.deepcopy(encoder)
    adapted = MODELS.build(
        dict(
            type='mmtpr.WoRAModel',
            module=encoder,
            rank=2,
            targets=[dict(type=r'clip\.transformer\..*\.attn\.q')],
        )
    ).eval()
    words = torch.randn(1, 1, 32)
    tokens = tokenize('a * is red')
    torch.testing.assert_close(
        adapted.encode_text_with_words(tokens, words, STAR),
        plain.encode_text_with_words(tokens, words, STAR),
    )
