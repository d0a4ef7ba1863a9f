"""Which pairs of a dataset train: by scores on disk, or by the model."""

from .consensus_division import ConsensusDivision
from .selected_pairs import SelectedPairsDataset
from .selector import PairSelector
from .score_selector import ScoreSelector

__all__ = [
    'ConsensusDivision',
    'PairSelector',
    'ScoreSelector',
    'SelectedPairsDataset',
]
