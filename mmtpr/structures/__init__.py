"""Data elements: samples, and the image-caption pairs of a dataset."""

from .batch import FACT_FIELDS, FEATURE_FIELDS, check_attributes, stack_batch
from .collate import collate_samples
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
    'FACT_FIELDS',
    'FEATURE_FIELDS',
    'Pairs',
    'RetrievalDataSample',
    'TextField',
    'check_attributes',
    'collate_samples',
    'dataset_fingerprint',
    'dataset_name',
    'pair_fingerprint',
    'read_pairs',
    'serialized_fingerprint',
    'stack_batch',
    'text_fields',
]
