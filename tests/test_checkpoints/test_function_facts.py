"""What decides the features travels with a checkpoint and is compared."""

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmtpr.checkpoints.function_facts import (
    FACTS,
    differing_facts,
    function_facts,
)
from mmtpr.models.build import build_model
from mmtpr.models.encoders import OpenCLIPEncoder
from mmtpr.registry import MODELS
from mmtpr.testing import shrink_config, tiny_clip_cfg, write_tiny_data
from mmtpr.text.config_tokenizers import PROBE, token_facts
from mmtpr.utils.errors import LaunchError


def retriever(preprocessor=None, model=None, **encoder):
    encoder = dict(
        type='mmtpr.OpenCLIPEncoder', model=model or tiny_clip_cfg(), **encoder
    )
    return dict(
        type='mmtpr.TextPersonRetriever',
        encoder=encoder,
        data_preprocessor=preprocessor,
    )


def save(path, cfg, **meta):
    model = MODELS.build(cfg)
    meta[FACTS] = function_facts(model)
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return str(path)


def image_feat(encoder):
    torch.manual_seed(0)
    with torch.no_grad():
        images = torch.randn(2, 3, *encoder.image_size)
        return encoder.eval().encode_image(images)


class TestSecondStage:
    """``pretrained=`` names a checkpoint of an earlier run."""

    def test_the_activation_comes_along(self, tmp_path):
        torch.manual_seed(0)
        first = retriever(quick_gelu=True)
        path = save(tmp_path / 'a.pth', first)
        second = OpenCLIPEncoder(tiny_clip_cfg(), pretrained=path)
        assert second.function_facts()['quick_gelu'] is True
        known = MODELS.build(first)
        known.load_state_dict(torch.load(path)['state_dict'])
        assert torch.equal(image_feat(second), image_feat(known.encoder))

    def test_another_activation_stops(self, tmp_path):
        path = save(tmp_path / 'a.pth', retriever(quick_gelu=True))
        with pytest.raises(ValueError, match='trained with quick_gelu=True'):
            OpenCLIPEncoder(tiny_clip_cfg(), path, quick_gelu=False)
        path = save(tmp_path / 'b.pth', retriever())
        model = dict(tiny_clip_cfg(), quick_gelu=True)
        with pytest.raises(ValueError, match='trained with quick_gelu=False'):
            OpenCLIPEncoder(model, path)

    def test_the_grid_of_positions_is_known(self, tmp_path):
        """64 x 32 and 32 x 64 have as many patches."""
        cfg = retriever(image_size=(64, 32))
        path = save(tmp_path / 'a.pth', cfg)
        told = OpenCLIPEncoder(
            tiny_clip_cfg(),
            path,
            image_size=(96, 48),
            pretrained_size=(64, 32),
        )
        found = OpenCLIPEncoder(tiny_clip_cfg(), path, image_size=(96, 48))
        assert torch.equal(image_feat(found), image_feat(told))

    def test_statistics_come_along(self, tmp_path):
        cfg = retriever(image_mean=[0.5] * 3, image_std=[0.25] * 3)
        path = save(tmp_path / 'a.pth', cfg)
        preprocessor = MODELS.build(retriever(pretrained=path))
        mean = preprocessor.data_preprocessor.mean
        assert mean.flatten().tolist() == [127.5] * 3


@pytest.mark.parametrize(
    ('trained', 'used', 'match'),
    [
        (dict(quick_gelu=True), {}, 'encoder quick_gelu=True, but'),
        (
            dict(image_size=(64, 32)),
            dict(image_size=(32, 64)),
            r'patch_grid=\[.*Set the image_size',
        ),
        (
            dict(preprocessor=dict(mean=[100.0] * 3)),
            {},
            r'data_preprocessor mean=\[100.0, 100.0, 100.0\], but',
        ),
        (
            dict(image_std=[0.5] * 3),
            {},
            r'data_preprocessor std=\[127.5, 127.5, 127.5\], but',
        ),
    ],
)
def test_another_function_stops(trained, used, match, tmp_path):
    path = save(tmp_path / 'a.pth', retriever(**trained))
    cfg = Config(dict(model=retriever(**used)))
    with pytest.raises(LaunchError, match=match):
        build_model(cfg, path, 'cpu')
    build_model(Config(dict(model=retriever(**trained))), path, 'cpu')


def test_in_training_other_inputs_may_be_meant(tmp_path):
    model = MODELS.build(retriever())
    meta = {
        FACTS: function_facts(MODELS.build(retriever(dict(std=[9.0] * 3))))
    }
    (line,) = differing_facts(meta, model, 'a.pth', trains=True)
    assert '"a.pth" was trained with data_preprocessor std=[9.0' in line
    with pytest.raises(LaunchError, match='Set std='):
        differing_facts(meta, model, 'a.pth')
    assert differing_facts({}, model, 'old.pth') == []


def with_tokenizer(**tokenize):
    node = dict(type='mmtpr.TokenizeCaption', **tokenize)
    return Config(dict(test_dataloader=dict(dataset=dict(pipeline=[node]))))


def test_tokens_of_a_sentence_tell_tokenizers_apart(tmp_path):
    tokens = token_facts(with_tokenizer())
    assert tokens['probe'][0] == 49406
    assert tokens['probe'][-1] == 49407
    assert len(tokens['probe']) > len(PROBE.split())
    assert token_facts(with_tokenizer(tokenizer='RN50')) == tokens
    vocabulary = tmp_path / 'vocab.txt'
    words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a', 'woman']
    vocabulary.write_text('\n'.join(words))
    others = token_facts(with_tokenizer(tokenizer=dict(bert=str(vocabulary))))
    assert others['probe'][:3] == [2, 5, 6]
    bert = dict(type='mmtpr.TokenizeBert', vocab=str(vocabulary))
    cfg = Config(dict(test_dataloader=dict(dataset=dict(pipeline=[bert]))))
    assert token_facts(cfg) == others
    assert token_facts(Config(dict(model=dict()))) == {}
    model = MODELS.build(retriever())
    meta = {FACTS: function_facts(model, tokens)}
    with pytest.raises(LaunchError, match='tokens of a sentence: set the tok'):
        differing_facts(meta, model, 'a.pth', others)
    assert differing_facts(meta, model, 'a.pth', tokens) == []


def test_a_run_writes_them(repo_root, tmp_path):
    data = write_tiny_data(tmp_path / 'data')
    cfg = shrink_config(repo_root / 'configs/wora_cuhk.py', data)
    cfg.work_dir = str(tmp_path / 'run')
    cfg.train_cfg.val_interval = 9
    Runner.from_cfg(cfg).train()
    meta = torch.load(tmp_path / 'run/epoch_1.pth', weights_only=True)['meta']
    facts = meta[FACTS]
    assert facts['tokenizer']['probe'][0] == 49406
    assert facts['encoder']['patch_grid'] == [4, 2]
    assert facts['encoder']['image_size'] == [64, 32]
    assert facts['data_preprocessor']['mean'][0] == pytest.approx(122.77, 1e-3)
