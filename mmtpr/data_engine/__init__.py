"""Triplets for composed retrieval, made from a theme: write, render, judge."""

from .block_files import BlockSummary
from .run_stage import run_stage
from .stage import Stage
from .stage_folder import StageFolder

__all__ = ['BlockSummary', 'Stage', 'StageFolder', 'run_stage']
