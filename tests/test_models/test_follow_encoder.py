"""Tokenizer, number of tokens, mean and std follow the encoder."""

import json

import open_clip
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmtpr.engine import launch
from mmtpr.models.follow_encoder import follow_encoder
from mmtpr.registry import MODELS
from mmtpr.testing import shrink_config, tiny_clip_cfg, write_tiny_data
from mmtpr.text.config_tokenizers import tokenizer_nodes
from mmtpr.utils.errors import LaunchError

HALF = (0.5, 0.5, 0.5)
VIT = dict(image_size=32, layers=1, width=32, head_width=16, patch_size=16)
TEXT = dict(context_length=16, vocab_size=49408, width=32, heads=2, layers=1)
TOKENIZE = dict(type='mmtpr.TokenizeCaption')


@pytest.fixture(scope='module')
def hub(tmp_path_factory):
    """Models by name: CLIP's layout, SigLIP's, timm and Hugging Face."""
    tokenizers = pytest.importorskip('tokenizers')
    transformers = pytest.importorskip('transformers')
    folder = tmp_path_factory.mktemp('hub')
    words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', 'a', 'man', 'woman', 'in']
    words += ['red', 'blue', 'green', 'top', 'and', 'trousers', ',', '.']
    inner = tokenizers.models.WordPiece(
        {word: index for index, word in enumerate(words)}, unk_token='[UNK]'
    )
    tokenizer = tokenizers.Tokenizer(inner)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token='[UNK]',
        pad_token='[PAD]',
        cls_token='[CLS]',
        sep_token='[SEP]',
    )
    fast.save_pretrained(folder / 'words')
    transformers.BertConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        vocab_size=len(words),
        max_position_embeddings=90,
    ).save_pretrained(folder / 'words')
    own = dict(hf_tokenizer_name=str(folder / 'words'))
    models = {
        'tiny-ViT-L-14': dict(vision_cfg=VIT, text_cfg=TEXT),
        'tiny-SigLIP': dict(
            custom_text=True,
            vision_cfg=dict(
                timm_model_name='test_vit',
                image_size=32,
                timm_pool='avg',
                timm_proj='linear',
            ),
            text_cfg=dict(
                TEXT,
                context_length=12,
                vocab_size=len(words),
                no_causal_mask=True,
                proj_bias=True,
                pool_type='last',
                **own,
            ),
        ),
        'tiny-timm': dict(
            vision_cfg=dict(
                timm_model_name='test_resnet',
                timm_proj='mlp',
                image_size=64,
            ),
            text_cfg=TEXT,
        ),
        'tiny-hf': dict(
            vision_cfg=VIT,
            text_cfg=dict(
                hf_model_name=str(folder / 'words'),
                hf_proj_type='linear',
                hf_pooler_type='mean_pooler',
                **own,
            ),
        ),
    }
    for name, config in models.items():
        (folder / f'{name}.json').write_text(
            json.dumps(dict(embed_dim=32, **config))
        )
    open_clip.add_model_config(folder)
    return folder


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_tiny_data(tmp_path_factory.mktemp('data'))


def small(repo_root, data, model):
    """A real config for another encoder, as --cfg-options would have it."""
    cfg = shrink_config(repo_root / 'configs/irra_cuhk.py', data)
    for node in tokenizer_nodes(cfg, ('TokenizeCaption',)):
        node.pop('tokenizer', None), node.pop('context_length', None)
    cfg.model.encoder.model = model
    cfg.model.encoder.image_size = (64, 32)
    cfg.model.losses = dict(sdm=dict(type='mmtpr.SDMLoss'))
    for node in transforms_of(cfg):
        if node['type'] == 'mmtpr.MaskTokens':
            node.update(mask_id=1, ordinary=(4, 12))
    return cfg


def transforms_of(cfg):
    loaders = ('train_dataloader', 'val_dataloader', 'test_dataloader')
    return [t for name in loaders for t in cfg[name].dataset.pipeline]


def tokenizers_of(cfg):
    return [t for t in transforms_of(cfg) if t['type'] == TOKENIZE['type']]


@pytest.mark.parametrize(
    ('model', 'length'),
    [
        ('tiny-ViT-L-14', 16),
        ('tiny-SigLIP', 12),
        ('tiny-timm', 16),
        ('tiny-hf', None),
    ],
)
def test_other_encoders_train_and_test(
    hub, data, repo_root, model, length, tmp_path
):
    cfg = small(repo_root, data, model)
    follow_encoder(cfg)
    for node in tokenizers_of(cfg):
        assert node['tokenizer'] == model
        assert node.get('context_length') == length
    cfg.work_dir = str(tmp_path)
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=2)
    cfg.param_scheduler = []
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    launch.require_training_checks(cfg)
    runner = Runner.from_cfg(cfg)
    runner.train()
    metrics = runner.test()
    assert 0 <= metrics['R@1'] <= 100
    tokens = runner.test_dataloader.dataset[0]['data_samples'].tokens
    assert tokens.max() < runner.model.encoder.vocab_size


def cfg_with(tokenize, **encoder):
    encoder = dict(type='mmtpr.OpenCLIPEncoder', **encoder)
    adapted = dict(type='mmtpr.WoRAModel', module=encoder)
    return Config(
        dict(
            model=dict(type='mmtpr.TextPersonRetriever', encoder=adapted),
            test_dataloader=dict(dataset=dict(pipeline=[tokenize])),
        )
    )


class TestFollowing:
    def node(self, cfg):
        return cfg.test_dataloader.dataset.pipeline[0]

    def test_what_is_not_set(self):
        cfg = cfg_with(dict(TOKENIZE), model='ViT-L-14')
        follow_encoder(cfg)
        assert self.node(cfg) == dict(
            TOKENIZE, tokenizer='ViT-L-14', context_length=77
        )
        cfg = cfg_with(dict(TOKENIZE), model='RN50', context_length=40)
        follow_encoder(cfg)
        assert self.node(cfg)['context_length'] == 40

    def test_models_of_one_vocabulary_agree(self):
        cfg = cfg_with(dict(TOKENIZE, tokenizer='RN50'), model='ViT-L-14')
        follow_encoder(cfg)
        assert self.node(cfg)['tokenizer'] == 'RN50'

    def test_another_vocabulary_stops(self):
        node = dict(TOKENIZE, tokenizer='ViT-B-16')
        cfg = cfg_with(node, model='ViT-B-16-SigLIP')
        match = r"tokenizer='ViT-B-16', but .* model \"ViT-B-16-SigLIP\""
        with pytest.raises(LaunchError, match=match):
            follow_encoder(cfg)

    def test_a_vocabulary_in_a_file_is_compared_by_its_tokens(self, tmp_path):
        captions = ['a man in a red jacket']
        from mmtpr.synthesis import write_vocabulary

        path = tmp_path / 'words.txt.gz'
        write_vocabulary(captions, path)
        node = dict(TOKENIZE, tokenizer=dict(bpe_path=str(path)))
        with pytest.raises(LaunchError, match=r'reads the tokens of .RN50.'):
            follow_encoder(cfg_with(node, model='RN50'))
        # A config of one's own does not tell its tokenizer.
        cfg = cfg_with(node, model=tiny_clip_cfg())
        follow_encoder(cfg)
        assert self.node(cfg)['tokenizer'] == dict(bpe_path=str(path))

    def test_another_number_of_tokens_stops(self):
        node = dict(TOKENIZE, context_length=64)
        with pytest.raises(LaunchError, match=r'=64 tokens, but .* takes 77'):
            follow_encoder(cfg_with(node, model='ViT-B-16'))

    def test_other_models_are_left_alone(self):
        cfg = Config(dict(model=dict(type='Other'), pipeline=[TOKENIZE]))
        follow_encoder(cfg)
        assert cfg.pipeline == [TOKENIZE]
        follow_encoder(Config(dict(a=1)))

    def test_tools_do_it_when_they_read_a_config(self, tmp_path):
        path = tmp_path / 'config.py'
        cfg_with(dict(TOKENIZE), model='ViT-L-14').dump(str(path))
        options = {'model.encoder.module.model': 'RN50'}
        cfg = launch.load_config(str(path), options)
        assert self.node(cfg)['tokenizer'] == 'RN50'


class TestStatistics:
    def retriever(self, preprocessor=None, **encoder):
        return MODELS.build(
            dict(
                type='mmtpr.TextPersonRetriever',
                data_preprocessor=preprocessor,
                encoder=dict(
                    type='mmtpr.OpenCLIPEncoder',
                    model=tiny_clip_cfg(),
                    **encoder,
                ),
            )
        ).data_preprocessor

    def test_they_follow(self):
        preprocessor = self.retriever(image_mean=HALF, image_std=HALF)
        assert preprocessor.mean.flatten().tolist() == [127.5] * 3
        assert preprocessor.std.flatten().tolist() == [127.5] * 3
        clips = self.retriever().mean.flatten() / 255
        wanted = torch.tensor([0.48145466, 0.4578275, 0.40821073])
        torch.testing.assert_close(clips, wanted)

    def test_channels_in_the_order_of_the_images(self):
        preprocessor = self.retriever(
            dict(to_rgb=False), image_mean=(0.1, 0.2, 0.3)
        )
        found = preprocessor.mean.flatten() / 255
        torch.testing.assert_close(found, torch.tensor([0.3, 0.2, 0.1]))

    def test_a_disagreement_stops_unless_it_is_meant(self):
        given = dict(mean=[123.7, 116.3, 103.5])
        with pytest.raises(ValueError, match=r'has mean=\[123.7.*127.5'):
            self.retriever(given, image_mean=HALF)
        kept = self.retriever(
            dict(given, own_statistics=True), image_mean=HALF
        )
        assert kept.mean.flatten().tolist() == pytest.approx(given['mean'])
        same = dict(mean=[127.5] * 3)
        self.retriever(same, image_mean=HALF)

    @pytest.mark.parametrize(
        ('model', 'pretrained', 'mean'),
        [
            ('ViT-B-16-SigLIP', None, HALF),
            ('ViT-B-16-SigLIP', 'weights.pth', HALF),
            ('ViT-L-14', 'openai', (0.48145466, 0.4578275, 0.40821073)),
            ('ViT-L-14', 'weights.pth', None),  # its tags differ
            (dict(tiny_clip_cfg()), None, None),
        ],
    )
    def test_of_published_weights(self, model, pretrained, mean):
        from mmtpr.models.encoders.open_clip.companions import find_companions

        assert find_companions(model, pretrained).mean == mean
