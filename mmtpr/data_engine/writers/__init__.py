"""Writers of quadruples: grammar, servers, local models."""

from .base import Answer, QuadrupleWriter, Request
from .check import QuadrupleCheck
from .grammar_writer import GrammarWriter
from .openai_writer import OpenAIWriter
from .quadruple import Quadruple
from .transformers_writer import TransformersWriter

__all__ = [
    'Answer',
    'GrammarWriter',
    'OpenAIWriter',
    'Quadruple',
    'QuadrupleCheck',
    'QuadrupleWriter',
    'Request',
    'TransformersWriter',
]
