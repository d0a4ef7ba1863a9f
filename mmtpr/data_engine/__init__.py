"""Triplets for composed retrieval, made from a theme: write, render, judge."""

from .block_files import BlockSummary
from .render_stage import RenderStage
from .renderers import ProceduralRenderer
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
    'GrammarWriter',
    'OpenAIWriter',
    'ProceduralRenderer',
    'QuadrupleCheck',
    'RenderStage',
    'Stage',
    'StageFolder',
    'TransformersWriter',
    'WriteStage',
    'run_stage',
]
