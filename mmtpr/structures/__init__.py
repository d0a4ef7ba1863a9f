"""Data elements: samples, and the image-caption pairs of a data set."""

from .pairs import (
    Pairs,
    dataset_fingerprint,
    dataset_name,
    pair_fingerprint,
    read_pairs,
)
from .retrieval_data_sample import RetrievalDataSample

__all__ = [
    'Pairs',
    'RetrievalDataSample',
    'dataset_fingerprint',
    'dataset_name',
    'pair_fingerprint',
    'read_pairs',
]
