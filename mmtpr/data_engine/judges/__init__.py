"""Judges of pairs: vision-language models, retrievers, cheap measures."""

from .base import JudgeRequest, PairJudge, Verdict
from .image_judge import ImageJudge
from .person_detector import PersonDetector
from .server_judge import OpenAIJudge
from .transformers_judge import TransformersJudge

__all__ = [
    'ImageJudge',
    'JudgeRequest',
    'OpenAIJudge',
    'PairJudge',
    'PersonDetector',
    'TransformersJudge',
    'Verdict',
]
