"""What lies behind a path of the config counts as much as the path."""

import json

import pytest

from mmtpr.data_engine import StageFolder
from mmtpr.data_engine.judges import (
    ImageJudge,
    RelevanceJudge,
    TransformersJudge,
)
from mmtpr.data_engine.renderers import DiffusersRenderer, EditingRenderer
from mmtpr.data_engine.writers import TransformersWriter
from mmtpr.utils.errors import LaunchError


def lora(path, **more):
    return DiffusersRenderer('hub/model', lora=path, device='cpu', **more)


def relevance(path):
    judge = RelevanceJudge('none.py', bank=path, device='cpu')
    judge.model.settings = dict  # needs weights
    return judge


#: What is built with a path, the file behind it, and the setting that tells.
CASES = dict(
    lora=(lora, 'weights.safetensors', 'lora_content'),
    lora_file=(
        lambda path: lora(path, lora_file='own.safetensors'),
        'own.safetensors',
        'lora_content',
    ),
    renderer=(DiffusersRenderer, 'unet/weights', 'model_content'),
    editor=(EditingRenderer, 'weights', 'editor.model_content'),
    reference=(
        lambda path: EditingRenderer('hub/model', dict(model=path)),
        'weights',
        'reference.model_content',
    ),
    writer=(TransformersWriter, 'weights', 'model_content'),
    judge=(TransformersJudge, 'weights', 'model_content'),
    detector=(
        lambda path: ImageJudge(detector=dict(weights=f'{path}/w.pth')),
        'w.pth',
        'detector.weights_content',
    ),
    bank=(
        lambda path: relevance(f'{path}/bank.json'),
        'bank.json',
        'bank_content',
    ),
)


@pytest.mark.parametrize('name', CASES)
def test_a_resumed_run_with_other_content_is_refused(tmp_path, name):
    """A LoRA trained anew into its folder must not mix with the old one."""
    build, file, setting = CASES[name]
    path = tmp_path / 'model' / file
    path.parent.mkdir(parents=True)
    folder = StageFolder(tmp_path / 'run')
    for text in ('one', 'one', 'two'):
        path.write_text(json.dumps([text]), encoding='utf-8')
        made = build(str(tmp_path / 'model'))
        if text == 'one':
            folder.open('render', made.settings(), (), 1)
    match = rf"\({setting}: '\w{{32}}' there, '\w{{32}}' now"
    with pytest.raises(LaunchError, match=match):
        folder.open('render', made.settings(), (), 1)


def test_another_file_beside_the_lora_is_none_of_it(tmp_path):
    for name in ('own.safetensors', 'other.safetensors'):
        (tmp_path / name).touch()
    made = lora(str(tmp_path), lora_file='own.safetensors')
    before = made.settings()
    (tmp_path / 'other.safetensors').write_bytes(b'more')
    assert made.settings() == before
    file = str(tmp_path / 'own.safetensors')
    assert lora(file).settings()['lora_content'] == before['lora_content']


def test_a_name_at_the_hub_has_no_content():
    found = lora('hub/lora').settings()
    assert (found['model_content'], found['lora_content']) == (None, None)
