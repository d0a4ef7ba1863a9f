"""Assembling triplets: rule, files, report, contact sheets."""

from .assemble import Assembly, assemble
from .report import faults_found
from .score_table import ScoreTable, read_table

__all__ = ['Assembly', 'ScoreTable', 'assemble', 'faults_found', 'read_table']
