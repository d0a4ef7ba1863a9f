"""Losses: pure functions and registered modules."""

from .attribute_prompts import AttributePromptLoss
from .base import (
    CrossModalFeatures,
    CrossModalLoss,
    RetrievalFeatures,
    RetrievalLoss,
)
from .caption_words import CaptionWordsLoss, caption_words_loss
from .composition_ranking import composition_ranking_loss, swap_partners
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
from .pairwise import PairwiseLoss, TALLoss, TRLLoss
from .swapped_words import SwappedWordsLoss, swapped_words_loss
from .triplet_alignment import tal_loss, trl_loss

__all__ = [
    'AttributePromptLoss',
    'CMPMLoss',
    'CaptionWordsLoss',
    'CrossModalFeatures',
    'CrossModalLoss',
    'CrossModalMLMLoss',
    'IDLoss',
    'ITCLoss',
    'ITMLoss',
    'MLMLoss',
    'MaskedFeatureReasoning',
    'PairwiseLoss',
    'RetrievalFeatures',
    'RetrievalLoss',
    'SDMLoss',
    'SwappedWordsLoss',
    'TALLoss',
    'TRLLoss',
    'caption_words_loss',
    'cmpm_loss',
    'composition_ranking_loss',
    'fda_loss',
    'fda_similarity',
    'feature_diversity_loss',
    'hard_negatives',
    'id_loss',
    'itc_loss',
    'sdm_loss',
    'swap_partners',
    'swapped_words_loss',
    'tal_loss',
    'trl_loss',
]
