"""Re-ranking: scores of a cross encoder, fused with similarities."""

from .fused_scores import FusedScores, Fusion, rank_reranked, top_candidates
from .pair_scorer import PairScorer

__all__ = [
    'FusedScores',
    'Fusion',
    'PairScorer',
    'rank_reranked',
    'top_candidates',
]
