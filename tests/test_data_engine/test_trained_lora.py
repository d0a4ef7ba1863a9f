"""A LoRA that peft trained and diffusers saved, as the guide's recipe does.

The script of diffusers is in its repository, not in its wheel. What of it
decides the file is done here: the layers, `LoraConfig` with a rank that is not
the alpha, the flow-matching loss, `save_lora_weights` with its metadata.
"""

from functools import partial

import numpy as np
import pytest
import torch

pytest.importorskip(
    'diffusers', reason='the extra [synthesis] is not installed'
)
pytest.importorskip('peft')

from tiny_flux import write_tiny_flux
from tiny_flux2 import CALL, write_tiny_flux2
from trained_lora import train_lora

from mmtpr.data_engine.renderers.diffusion import DiffusionModel
from mmtpr.utils.errors import LaunchError

PROMPT, SEED, SIZE = 'Left panel: a man. Right panel: a man.', 5, (32, 32)
#: How each pipeline is written, and what else it is told.
KINDS = dict(flux=(write_tiny_flux, {}), klein=(write_tiny_flux2, CALL))


@pytest.fixture(scope='module', autouse=True)
def offline():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('HF_HUB_OFFLINE', '1')
        yield


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    """Pipeline, its LoRA, and images before and after the training."""
    from diffusers import DiffusionPipeline

    place = tmp_path_factory.mktemp('models')
    found = {}
    for name, (write, more) in KINDS.items():
        folder, lora = write(place / name), place / f'{name}_lora'
        pipeline = DiffusionPipeline.from_pretrained(folder)
        shown = train_lora(pipeline, lora, partial(render, more=more))
        found[name] = folder, lora, shown
    return found


def render(pipeline, more):
    """An image of the pipeline as it is, made without our code."""
    (image,) = pipeline(
        prompt=[PROMPT],
        height=SIZE[0],
        width=SIZE[1],
        num_inference_steps=2,
        guidance_scale=0.0,
        generator=[torch.Generator('cpu').manual_seed(SEED)],
        output_type='pil',
        **more,
    ).images
    return np.asarray(image)


def ours(name, folder, lora=None, beta=None):
    """An image of the pipeline with the LoRA, by our renderer's model."""
    made = DiffusionModel(
        str(folder),
        steps=2,
        guidance=0.0,
        dtype='float32',
        device='cpu',
        lora=lora and str(lora),
        call=KINDS[name][1],
    )
    (image,) = made.generate([PROMPT], [SEED], SIZE, beta)
    return image


@pytest.mark.parametrize('name', KINDS)
def test_the_renderer_renders_as_the_trained_model_did(models, name):
    folder, lora, (before, after) = models[name]
    assert np.array_equal(ours(name, folder), before)
    assert np.array_equal(ours(name, folder, lora, 0.0), before)
    assert np.array_equal(ours(name, folder, lora, 1.0), after)
    half = ours(name, folder, lora, 0.5)
    assert not np.array_equal(half, before)
    assert not np.array_equal(half, after)


def test_a_lora_of_another_model(models):
    flux, lora = models['flux'][0], models['klein'][1]
    with pytest.raises(LaunchError, match='does not fit the pipeline'):
        ours('flux', flux, lora, 1.0)
