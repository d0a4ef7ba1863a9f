"""Triplets for composed retrieval, made from a theme: write, render, judge."""

from .block_files import BlockSummary
from .judge_stage import JudgeStage
from .judges import (
    ComposedJudge,
    IdentityJudge,
    ImageJudge,
    OpenAIJudge,
    RelevanceJudge,
    TransformersJudge,
)
from .ray_stage import run_stage_with_ray
from .render_stage import RenderStage
from .renderers import DiffusersRenderer, EditingRenderer, ProceduralRenderer
from .run_stage import run_stage
from .stage import Stage
from .stage_folder import StageFolder
from .write_stage import WriteStage
from .writers import (
    GrammarWriter,
    OpenAIWriter,
    QuadrupleCheck,
    TransformersWriter,
)

__all__ = [
    'BlockSummary',
    'ComposedJudge',
    'DiffusersRenderer',
    'EditingRenderer',
    'GrammarWriter',
    'IdentityJudge',
    'ImageJudge',
    'JudgeStage',
    'OpenAIJudge',
    'OpenAIWriter',
    'ProceduralRenderer',
    'QuadrupleCheck',
    'RelevanceJudge',
    'RenderStage',
    'Stage',
    'StageFolder',
    'TransformersJudge',
    'TransformersWriter',
    'WriteStage',
    'run_stage',
    'run_stage_with_ray',
]
