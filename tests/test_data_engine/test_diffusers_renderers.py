"""Pairs by pipelines of diffusers: tiny ones of random weights, offline."""

import os

import numpy as np
import pytest
from PIL import Image

pytest.importorskip(
    'diffusers', reason='the extra [synthesis] is not installed'
)

from engine_tool import call_tool
from tiny_flux import write_tiny_flux, write_tiny_lora

from mmtpr.data_engine import (
    DiffusersRenderer,
    EditingRenderer,
    GrammarWriter,
    StageFolder,
    WriteStage,
    run_stage,
)
from mmtpr.data_engine.renderers import RenderRequest
from mmtpr.data_engine.renderers.prompt import panels_prompt
from mmtpr.utils.errors import LaunchError

SMALL = dict(height=32, width=16, steps=2, dtype='float32', device='cpu')
RECORD = dict(
    index=0,
    reference_caption='A man in a red coat',
    target_caption='A man in a blue coat.',
    edit='Wearing a blue coat.',
    metadata=dict(scene='city street', clarity='sharp'),
)


@pytest.fixture(scope='module', autouse=True)
def offline():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('HF_HUB_OFFLINE', '1')
        yield


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp('models')
    write_tiny_flux(folder / 'flux')
    write_tiny_flux(folder / 'kontext', editing=True)
    write_tiny_lora(folder / 'lora')
    write_tiny_lora(folder / 'broad', width=64)
    return folder


def renderer(models, name='flux', kind=DiffusersRenderer, **kwargs):
    return kind(str(models / name), **(SMALL | kwargs))


def render(made, pairs=4, records=2):
    requests = [
        RenderRequest(f'{index}-{pair}', RECORD, pair, 100 * index + pair)
        for index in range(records)
        for pair in range(pairs)
    ]
    return {request.key: pair for request, pair in made.render(requests)}


def same(pair, other):
    sides = ('reference', 'target')
    return all(
        np.array_equal(getattr(pair, s), getattr(other, s)) for s in sides
    )


def test_the_prompt_tells_both_panels():
    assert panels_prompt(RECORD).endswith('City street, sharp photo.')
    assert 'Left panel: A man in a red coat. Right' in panels_prompt(RECORD)


def test_a_pair_depends_on_its_seed_alone(models):
    alone = render(renderer(models))
    together = render(renderer(models, batch_size=3))
    assert alone.keys() == together.keys()
    for key, pair in alone.items():
        assert pair.reference.shape == pair.target.shape == (32, 16, 3)
        assert pair.beta is None
        assert same(pair, together[key])
    assert len({pair.target.tobytes() for pair in alone.values()}) == 8


def test_the_lora_is_weighted(models):
    base = render(renderer(models))
    made = renderer(
        models, lora=str(models / 'lora'), num_full=1, num_random=3
    )
    assert made.per_record == 4
    found = render(made)
    betas = [pair.beta for pair in found.values()]
    assert betas.count(1.0) == 2
    others = [beta for beta in betas if beta != 1.0]
    assert len({*others}) == 6
    assert all(0 < beta < 1 for beta in others)
    assert not any(same(pair, base[key]) for key, pair in found.items())
    # Without weight it is the pipeline alone, to the bit.
    prompts = [panels_prompt(RECORD)]
    for beta, as_before in ((0.0, True), (1.0, False), (0.0, True)):
        (panels,) = made.model.generate(prompts, [3], (32, 32), beta)
        whole = np.hstack([base['0-3'].reference, base['0-3'].target])
        assert np.array_equal(panels, whole) == as_before


def test_the_tool_renders_and_goes_on(models, tmp_path, monkeypatch):
    run = tmp_path / 'run'
    stage = WriteStage(3, dict(gender=['man']), GrammarWriter(), block_size=2)
    run_stage(stage, StageFolder(run / 'write'))
    config = tmp_path / 'config.py'
    options = dict(SMALL, model=str(models / 'flux'))
    options |= dict(lora=str(models / 'lora'), num_full=1, num_random=1)
    config.write_text(
        f'render = dict(renderer=dict(type="mmtpr.DiffusersRenderer", '
        f'**{options!r}))'
    )
    call_tool(monkeypatch, 'render_pairs', config, run)
    folder = StageFolder(run / 'render')
    rows = list(folder.read_all())
    assert [row['pair'] for row in rows] == [0, 1] * 3
    before = {}
    for row in rows:
        for side in ('reference', 'target'):
            path = run / 'render/images' / row[f'{side}_image']
            before[path] = path.read_bytes()
            assert Image.open(path).size == (16, 32)
    # Rows that are lost are rendered again, to the same bytes.
    folder.blocks.path(1).unlink()
    for path in list(before)[-2:]:
        os.unlink(path)
    call_tool(monkeypatch, 'render_pairs', config, run)
    assert {path: path.read_bytes() for path in before} == before


def test_an_edited_reference(models):
    made = renderer(
        models, 'kontext', EditingRenderer, call=dict(_auto_resize=False)
    )
    found = render(made, pairs=1)
    for pair in found.values():
        assert pair.reference.shape == pair.target.shape == (32, 16, 3)
        assert not np.array_equal(pair.reference, pair.target)
    # The reference of another pipeline; the edit depends on it.
    other = renderer(
        models,
        'kontext',
        EditingRenderer,
        reference=dict(model=str(models / 'flux'), call={}),
        call=dict(_auto_resize=False),
    )
    mixed = render(other, pairs=1)
    assert render(other, pairs=1, records=1)['0-0'].target.tobytes() == (
        mixed['0-0'].target.tobytes()
    )
    assert other.settings()['reference']['model'] == str(models / 'flux')


def test_what_comes_to_nothing(models, monkeypatch):
    made = renderer(models)
    long = dict(RECORD, target_caption='red ' * 500)
    request = RenderRequest('0', long, 0, 0)
    ((_, pair),) = made.render([request])
    assert pair.problem == 'the prompt is longer than the pipeline reads'
    black = np.zeros((32, 32, 3), np.uint8)
    for images, problem in (
        ([black], 'an image of one colour'),
        ([None], 'refused by the filter of the pipeline'),
    ):
        monkeypatch.setattr(
            made.model, 'generate', lambda *args, images=images: images
        )
        found = render(made, 1, 1)
        assert found['0-0'].problem == problem


@pytest.mark.parametrize(
    ('kwargs', 'match'),
    [
        (dict(name='absent'), 'absent" cannot be loaded: '),
        (dict(lora='broad'), 'broad" does not fit the pipeline'),
        (dict(lora='no.safetensors'), 'no.safetensors" does not exist'),
        (dict(lora='lora', kind=EditingRenderer), 'edits no images'),
        (dict(height=35), r'renders 34 x 32 .* where 35 x 32 was asked for'),
        (dict(offload='model'), 'there is no GPU'),
        (dict(call=dict(depth=1)), "refuses to render.*argument 'depth'"),
    ],
)
def test_models_that_do_not_fit(models, kwargs, match):
    if 'lora' in kwargs:
        kwargs = dict(kwargs, lora=str(models / kwargs['lora']))
    with pytest.raises(LaunchError, match=match):
        render(renderer(models, **kwargs), 1, 1)


def test_a_lora_of_which_a_layer_is_missing(models, tmp_path):
    from safetensors.torch import load_file, save_file

    (path,) = (models / 'lora').glob('*.safetensors')
    weights = load_file(path)
    key = next(name for name in weights if 'single' in name)
    for name in [n for n in weights if n.startswith(key.split('.attn')[0])]:
        moved = name.replace('blocks.0', 'blocks.7')
        weights[moved] = weights.pop(name)
    save_file(weights, tmp_path / 'other.safetensors')
    with pytest.raises(LaunchError, match='does not fit the pipeline'):
        render(renderer(models, lora=str(tmp_path / 'other.safetensors')))


@pytest.mark.parametrize(
    ('kwargs', 'match'),
    [
        (dict(batch_size=0), 'batch_size must be positive'),
        (dict(num_full=0, num_random=0), 'must be counts of pairs'),
        (dict(offload='disk'), 'offload must be None'),
        (dict(dtype='half8'), "There is no dtype 'half8'"),
    ],
)
def test_settings_of_no_sense(kwargs, match):
    with pytest.raises(ValueError, match=match):
        DiffusersRenderer('x', **kwargs)


def test_counts_of_pairs_that_differ(tmp_path):
    from mmtpr.data_engine import RenderStage

    made = DiffusersRenderer('x', lora='y', num_full=2, num_random=3)
    source = StageFolder(tmp_path)
    with pytest.raises(ValueError, match='makes 5 pairs of a record'):
        RenderStage(source, tmp_path, made, per_record=4)
    assert RenderStage(source, tmp_path, made).per_record == 5
