"""Assembling triplets: rule, files, report, contact sheets, shards."""

from .assemble import Assembly, assemble
from .report import faults_found
from .score_table import ScoreTable, read_table
from .shards import ShardStage, write_shards

__all__ = [
    'Assembly',
    'ScoreTable',
    'ShardStage',
    'assemble',
    'faults_found',
    'read_table',
    'write_shards',
]
