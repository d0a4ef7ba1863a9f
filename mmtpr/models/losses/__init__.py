"""Losses: pure functions and registered modules."""

from .attribute_prompts import AttributePromptLoss
from .base import (
    CrossModalFeatures,
    CrossModalLoss,
    RetrievalFeatures,
    RetrievalLoss,
)
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
from .matching import CrossModalMLMLoss, ITMLoss, hard_negatives

__all__ = [
    'AttributePromptLoss',
    'CMPMLoss',
    'CrossModalFeatures',
    'CrossModalLoss',
    'CrossModalMLMLoss',
    'IDLoss',
    'ITCLoss',
    'ITMLoss',
    'MLMLoss',
    'MaskedFeatureReasoning',
    'RetrievalFeatures',
    'RetrievalLoss',
    'SDMLoss',
    'cmpm_loss',
    'fda_loss',
    'fda_similarity',
    'feature_diversity_loss',
    'hard_negatives',
    'id_loss',
    'itc_loss',
    'sdm_loss',
]
