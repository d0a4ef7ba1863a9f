"""Losses: pure functions and registered modules."""

from .base import RetrievalFeatures, RetrievalLoss
from .contrastive import CMPMLoss, ITCLoss, SDMLoss
from .fine_grained import (
    MaskedFeatureReasoning,
    fda_loss,
    fda_similarity,
    feature_diversity_loss,
)
from .functional import cmpm_loss, id_loss, itc_loss, sdm_loss
from .identity import IDLoss
from .masked_language import MLMLoss

__all__ = [
    'CMPMLoss',
    'IDLoss',
    'ITCLoss',
    'MLMLoss',
    'MaskedFeatureReasoning',
    'RetrievalFeatures',
    'RetrievalLoss',
    'SDMLoss',
    'cmpm_loss',
    'fda_loss',
    'fda_similarity',
    'feature_diversity_loss',
    'id_loss',
    'itc_loss',
    'sdm_loss',
]
