"""Data elements: samples, and the image-caption pairs of a dataset."""

from .pairs import (
    Pairs,
    dataset_fingerprint,
    dataset_name,
    pair_fingerprint,
    read_pairs,
    serialized_fingerprint,
)
from .retrieval_data_sample import (
    RetrievalDataSample,
    TextField,
    text_fields,
)

__all__ = [
    'Pairs',
    'RetrievalDataSample',
    'TextField',
    'dataset_fingerprint',
    'dataset_name',
    'pair_fingerprint',
    'read_pairs',
    'serialized_fingerprint',
    'text_fields',
]
