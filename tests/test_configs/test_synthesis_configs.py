"""Recipes of the data engine: every part can be built, and fits the others."""

from pathlib import Path

import pytest

from mmtpr.data_engine import JudgeStage, RenderStage, StageFolder, WriteStage
from mmtpr.data_engine.assemble import Assembly
from mmtpr.data_engine.engine_config import (
    build_part,
    load_engine_config,
    part_of,
)

FOLDER = Path(__file__).resolve().parents[2] / 'configs/synthesis'
RECIPES = sorted(path.name for path in FOLDER.glob('*.py'))
#: Arguments that say a model of others is used.
LIBRARIES = ('OpenAI', 'Transformers', 'Diffusers', 'Editing')


@pytest.fixture(params=RECIPES)
def recipe(request, tmp_path):
    """The config and its stages; nothing is loaded, nothing is asked."""
    cfg = load_engine_config(FOLDER / request.param)
    folders = StageFolder(tmp_path / 'write'), StageFolder(tmp_path / 'render')
    images = tmp_path / 'images'
    stages = dict(
        write=build_part(WriteStage, part_of(cfg, 'write'), 'write'),
        render=build_part(
            RenderStage,
            part_of(cfg, 'render'),
            'render',
            source=folders[0],
            images=images,
        ),
    )
    judges = {
        name: JudgeStage(*folders, images, dict(judge))
        for name, judge in part_of(cfg, 'judges').items()
    }
    assembly = build_part(Assembly, part_of(cfg, 'assemble'), 'assemble')
    return cfg, stages, judges, assembly


def test_there_are_recipes():
    assert RECIPES == ['syncpr_qwen_flux.py', 'syncpr_toy.py']


def test_the_rule_names_fields_of_its_judges(recipe):
    _, _, judges, assembly = recipe
    fields = {
        f'{name}.{field}'
        for name, stage in judges.items()
        for field in stage.judge.worst
    }
    assert {term.field for term in assembly.terms} <= fields


def test_every_model_of_others_has_its_licence(recipe):
    cfg, *_ = recipe
    models = dict(
        writer=[cfg.write.writer],
        renderer=[cfg.render.renderer],
        judge=list(cfg.judges.values()),
    )
    for part, made in models.items():
        for one in made:
            if not one.type.startswith(tuple(f'mmtpr.{n}' for n in LIBRARIES)):
                continue
            name = one.model.rpartition('/')[2]
            told = cfg.licences[part]
            # A quantised copy has the licence of the model.
            assert name.startswith(told.partition(':')[0]), told
            assert 'non-commercial' not in told.lower()


def test_the_published_size():
    cfg = load_engine_config(FOLDER / 'syncpr_qwen_flux.py')
    assert cfg.write.num * cfg.render.per_record * 2 == 2_810_000
    assert 'schnell' in cfg.render.renderer.model  # Apache-2.0
