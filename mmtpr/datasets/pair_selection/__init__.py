"""Which pairs of a dataset train: by scores on disk, or by the model."""

from .consensus_division import ConsensusDivision
from .score_selector import ScoreSelector
from .selected_pairs import SelectedPairsDataset
from .selector import PairSelector

__all__ = [
    'ConsensusDivision',
    'PairSelector',
    'ScoreSelector',
    'SelectedPairsDataset',
]
