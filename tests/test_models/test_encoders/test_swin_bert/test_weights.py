"""Pretrained Swin and BERT go in whole, and before the adapters."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmtpr.converters import swin_map
from mmtpr.converters.keys.aptm import aptm_map
from mmtpr.registry import MODELS
from mmtpr.testing import tiny_swin_bert_cfg

transformers = pytest.importorskip(
    'transformers', reason='BERT needs the extra [blip2] (transformers)'
)
pytest.importorskip(
    'mmpretrain.models', reason='Swin needs the extra [openmmlab]'
)


def build(seed=0, **kwargs):
    torch.manual_seed(seed)
    return MODELS.build(tiny_swin_bert_cfg(**kwargs))


@pytest.fixture(scope='module')
def source():
    return build(seed=1)


@pytest.fixture(scope='module')
def swin_file(source, tmp_path_factory):
    """A file as Microsoft writes it, with a classifier."""
    state = source.vision.state_dict()
    state = swin_map(state).inverse()(state).state
    state['head.weight'] = torch.ones(10, 64)
    state['layers.0.blocks.1.attn_mask'] = torch.zeros(8, 16, 16)
    path = tmp_path_factory.mktemp('swin') / 'swin.pth'
    torch.save(dict(model=state), path)
    return path


@pytest.fixture(scope='module')
def bert_folder(source, tmp_path_factory):
    """A folder as transformers writes it: no layer reads images."""
    torch.manual_seed(2)
    bert = transformers.BertForMaskedLM(source.bert.config)
    folder = tmp_path_factory.mktemp('bert')
    bert.save_pretrained(folder)
    return folder


def test_wrapped_linears_are_those_of_the_checkpoints(
    source, swin_file, bert_folder
):
    model = MODELS.build(
        dict(
            type='mmtpr.WoRAModel',
            module=tiny_swin_bert_cfg(
                image_pretrained=str(swin_file),
                text_pretrained=str(bert_folder),
            ),
            rank=2,
            targets=[
                dict(type=r'vision\..*'),
                dict(type=r'bert\..*\.(query|value)'),
            ],
        )
    )
    bert = transformers.BertForMaskedLM.from_pretrained(bert_folder)
    theirs = {f'vision.{k}': v for k, v in source.vision.state_dict().items()}
    theirs |= {f'bert.{k}': v for k, v in bert.state_dict().items()}
    own = model.module.state_dict()
    wrapped = [key for key in own if key.endswith('.linear.weight')]
    checked = 0
    for key in wrapped:
        name = key.replace('.linear.', '.')
        if '.crossattention.' in key:
            assert name not in theirs
            continue
        assert torch.equal(own[key], theirs[name])
        # Magnitudes are those of the loaded weight, not of a random one.
        magnitude = own[key.replace('.linear.weight', '.magnitude')]
        torch.testing.assert_close(magnitude, theirs[name].norm(dim=0))
        checked += 1
    assert checked == 31 + 8
    for key in set(own) & set(theirs):
        assert torch.equal(own[key], theirs[key]), key


def test_windows_of_another_size_are_resized(source, swin_file):
    small = tiny_swin_bert_cfg()['image'] | dict(window_size=2)
    encoder = build(image=small, image_pretrained=str(swin_file))
    name = 'stages.0.blocks.0.attn.w_msa.relative_position_bias_table'
    found = encoder.vision.state_dict()[name].unflatten(0, (3, 3))
    theirs = source.vision.state_dict()[name].unflatten(0, (7, 7))
    torch.testing.assert_close(found[1, 1], theirs[3, 3])
    norm = 'stages.3.blocks.0.norm1.weight'
    assert torch.equal(
        encoder.vision.state_dict()[norm], source.vision.state_dict()[norm]
    )


def test_mmpretrain_and_aptm_and_mmtpr_files(source, tmp_path):
    own = source.state_dict()
    files = {
        'image_pretrained': {
            f'backbone.{k}': v for k, v in source.vision.state_dict().items()
        }
        | {'head.fc.weight': torch.ones(3, 64)},
        'pretrained': aptm_map(own).inverse()(own).state,
        'ours': {f'encoder.{k}': v for k, v in own.items()}
        | {'losses.id.classifier.weight': torch.ones(3, 3)},
    }
    for name, state in files.items():
        path = tmp_path / f'{name}.pth'
        torch.save(dict(state_dict=state), path)
        key = name if name != 'ours' else 'pretrained'
        found = build(**{key: str(path)}).state_dict()
        part = 'vision.' if name == 'image_pretrained' else ''
        for entry in own:
            if entry.startswith(part):
                assert torch.equal(found[entry], own[entry]), entry


def changed(folder, target, change):
    """A copy of a folder of BERT with other weights."""
    shutil.copytree(folder, target)
    state = load_file(target / 'model.safetensors')
    state = change(state)
    save_file(state, target / 'model.safetensors', metadata=dict(format='pt'))
    return target


def test_a_bert_with_gaps_is_refused(bert_folder, tmp_path):
    query = 'bert.encoder.layer.0.attention.self.query.weight'
    for name, part, count in (('key', query, 1), ('head', 'cls.', 6)):
        folder = changed(
            bert_folder,
            tmp_path / name,
            lambda state, part=part: {
                k: v for k, v in state.items() if not k.startswith(part)
            },
        )
        with pytest.raises(ValueError, match=f'weights {count} missing') as e:
            build(text_pretrained=str(folder))
        assert str(folder) in str(e.value)
        assert part in str(e.value)


def test_a_damaged_bert_is_one_message(bert_folder, tmp_path):
    folder = tmp_path / 'bert'
    shutil.copytree(bert_folder, folder)
    (folder / 'model.safetensors').write_bytes(b'123')
    with pytest.raises(ValueError, match=r'cannot be loaded \(.*header'):
        build(text_pretrained=str(folder))


def test_extras_and_old_names_of_bert_load(bert_folder, tmp_path):
    def published(state):
        """Names as in the files of 2018."""
        state = {
            k.replace('LayerNorm.weight', 'LayerNorm.gamma').replace(
                'LayerNorm.bias', 'LayerNorm.beta'
            ): v
            for k, v in state.items()
        }
        return state | {
            'cls.seq_relationship.weight': torch.ones(2, 32),
            'bert.pooler.dense.bias': torch.ones(32),
            'bert.embeddings.position_ids': torch.arange(16)[None],
        }

    norm = 'bert.embeddings.LayerNorm.weight'
    value = torch.rand(
        load_file(bert_folder / 'model.safetensors')[norm].shape
    )
    old = changed(
        bert_folder,
        tmp_path / 'old',
        lambda state: published(state | {norm: value}),
    )
    encoder = build(text_pretrained=str(old))
    assert torch.equal(encoder.bert.state_dict()[norm], value)


def test_what_does_not_fit_is_named(source, swin_file, bert_folder, tmp_path):
    own = source.state_dict()
    with pytest.raises(ValueError, match='it is Microsoft Swin'):
        build(pretrained=str(swin_file))
    path = tmp_path / 'words.pth'
    torch.save(aptm_map(own).inverse()(own).state, path)
    text = tiny_swin_bert_cfg()['text'] | dict(vocab_size=50)
    with pytest.raises(ValueError, match='64 words there and 50 in the model'):
        build(text=text, pretrained=str(path))
    with pytest.raises(ValueError, match='64 words there and 50 in the model'):
        build(text=text, text_pretrained=str(bert_folder))
    adapted = {'encoder.vision.stages.0.x.lora_A': torch.ones(1, 1)}
    torch.save({f'encoder.{k}': v for k, v in own.items()} | adapted, path)
    with pytest.raises(ValueError, match=r'merge_adapters\.py'):
        build(pretrained=str(path))
    with pytest.raises(ValueError, match='cannot be loaded'):
        build(text_pretrained=str(tmp_path))
