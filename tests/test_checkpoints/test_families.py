"""Checkpoints of a wrong family are named."""

import json

import pytest
import torch
from layouts import clip, irra, rde, swin, tinet

from mmtpr.checkpoints import expect, identify, read_checkpoint
from mmtpr.checkpoints.families import FAMILIES
from mmtpr.models.encoders.blip2.weights import read_state
from mmtpr.registry import MODELS
from mmtpr.testing import tiny_encoder_cfg

CASES = {
    'OpenAI CLIP': clip(layers=(1, 1)),
    'IRRA or Word4Per': irra(layers=(1, 1)),
    'RDE': rde(layers=(1, 1)),
    'TINet': tinet(),
    'Microsoft Swin': swin(),
    'BERT': ['bert.embeddings.word_embeddings.weight'],
    'CLIP of transformers': [
        'vision_model.embeddings.class_embedding',
        'text_model.final_layer_norm.bias',
    ],
    'ALBEF or BLIP': ['visual_encoder.cls_token', 'text_encoder.cls.bias'],
    'LAVIS BLIP-2 or FAFA': [
        'visual_encoder.cls_token',
        'Qformer.cls.predictions.bias',
    ],
    'mmtpr with adapters': ['encoder.module.clip.visual.conv.lora_A'],
    'mmtpr text retrieval': ['encoder.clip.visual.proj'],
    'mmtpr RDE': [
        'encoder.clip.visual.proj',
        'necks.tse.image.hidden.weight',
    ],
    'mmtpr composed retrieval': [
        'encoder.clip.visual.proj',
        'query.tinets.0.fc_out.bias',
    ],
    'mmtpr BLIP-2': ['encoder.blip2.query_tokens'],
    'adapters of peft': ['base_model.model.visual.proj.lora_A.weight'],
}


@pytest.mark.parametrize('name', CASES)
def test_families_are_told_from_keys(name):
    assert identify(CASES[name]).name == name


@pytest.mark.parametrize(
    ('file', 'name'),
    [
        ('aptm_mini', 'APTM or X-VLM'),
        ('filtering_wora_mini', 'Filtering-WoRA'),
        ('fafa_blip2_mini', 'LAVIS BLIP-2 or FAFA'),
    ],
)
def test_families_of_released_layouts(parity_file, file, name):
    layouts = json.loads(parity_file('layouts.json').read_text())
    assert identify(layouts[file]).name == name


def test_every_family_is_named_once():
    names = [family.name for family in FAMILIES]
    assert len(names) == len(set(names))


def test_a_wrong_family_is_named_with_what_takes_it():
    with pytest.raises(
        ValueError,
        match=r'"a\.pth" should be a checkpoint of IRRA or Word4Per, but it '
        r'is Microsoft Swin\. tools/model_converters/swin\.py take',
    ):
        expect(CASES['Microsoft Swin'], 'IRRA or Word4Per', where='a.pth')
    with pytest.raises(ValueError, match=r'no known family .*fc\.weight'):
        expect(['fc.weight'], 'IRRA or Word4Per', where='a.pth')


def test_entries_of_a_file(tmp_path):
    weights = {'module.fc_out.weight': torch.ones(1)}
    path = tmp_path / 'a.pth'
    torch.save(dict(model=weights, img2text=weights, epoch=3), path)
    file = read_checkpoint(path, 'img2text')
    assert list(file.state) == ['fc_out.weight']
    assert list(file.parts['img2text']) == ['fc_out.weight']
    assert list(file.beside) == ['epoch']
    assert 'training' in file.beside['epoch']


def test_bare_state_dicts_and_safetensors(tmp_path):
    save_file = pytest.importorskip('safetensors.torch').save_file
    weights = {'fc.weight': torch.ones(2)}
    torch.save(weights | {'version': 2}, tmp_path / 'a.pth')
    save_file(weights, tmp_path / 'a.safetensors')
    for name, beside in (('a.pth', ['version']), ('a.safetensors', [])):
        file = read_checkpoint(tmp_path / name)
        assert list(file.state) == ['fc.weight']
        assert list(file.beside) == beside
    (tmp_path / 'b.safetensors').write_bytes(b'nothing')
    with pytest.raises(ValueError, match='damaged or no checkpoint'):
        read_checkpoint(tmp_path / 'b.safetensors')


def test_files_without_weights(tmp_path):
    torch.save(dict(epoch=3, meta=dict(a=1)), tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=r'holds no state dict.*epoch'):
        read_checkpoint(tmp_path / 'a.pth')
    with pytest.raises(FileNotFoundError, match='does not exist'):
        read_checkpoint(tmp_path / 'nothing.pth')


class Odd:
    """Something that is no tensor."""


def test_pickled_objects_are_refused(tmp_path):
    torch.save(dict(model=Odd()), tmp_path / 'a.pth')
    with pytest.raises(ValueError, match='weights_only=True'):
        read_checkpoint(tmp_path / 'a.pth')


def test_encoders_name_the_family_of_a_wrong_file(tmp_path):
    path = tmp_path / 'swin.pth'
    tensors = {key: torch.zeros(1) for key in CASES['Microsoft Swin']}
    torch.save(dict(model=tensors), path)
    with pytest.raises(ValueError, match='The file is of Microsoft Swin'):
        MODELS.build(dict(tiny_encoder_cfg(), pretrained=str(path)))
    with pytest.raises(ValueError, match='checkpoint of Microsoft Swin'):
        read_state(path)


def test_encoders_name_another_vocabulary(tmp_path):
    encoder = MODELS.build(tiny_encoder_cfg(vocab_size=100))
    path = tmp_path / 'clip.pth'
    torch.save(encoder.clip.state_dict(), path)
    cfg = dict(tiny_encoder_cfg(vocab_size=120), pretrained=str(path))
    with pytest.raises(ValueError, match='100 words there and 120 in the'):
        MODELS.build(cfg)
