"""Judges of pairs: vision-language models, retrievers, cheap measures."""

from .base import JudgeRequest, PairJudge, Verdict
from .composed_judge import ComposedJudge
from .identity_judge import IdentityJudge
from .image_judge import ImageJudge
from .loaded_model import JudgingModel
from .person_detector import PersonDetector
from .relevance_judge import RelevanceJudge
from .server_judge import OpenAIJudge
from .transformers_judge import TransformersJudge

__all__ = [
    'ComposedJudge',
    'IdentityJudge',
    'ImageJudge',
    'JudgeRequest',
    'JudgingModel',
    'OpenAIJudge',
    'PairJudge',
    'PersonDetector',
    'RelevanceJudge',
    'TransformersJudge',
    'Verdict',
]
