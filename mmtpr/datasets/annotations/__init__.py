"""Annotation files: their records, the splits, and samples of them."""

from .composed_records import check_composed_records
from .images import find_bad_images, find_missing_images
from .published_sizes import PUBLISHED, Counts
from .records import PersonRecord, read_records
from .samples import queries_and_gallery, training_pairs
from .splits import SPLITS, carve_val, split_by_order, take_split

__all__ = [
    'PUBLISHED',
    'SPLITS',
    'Counts',
    'PersonRecord',
    'carve_val',
    'check_composed_records',
    'find_bad_images',
    'find_missing_images',
    'queries_and_gallery',
    'read_records',
    'split_by_order',
    'take_split',
    'training_pairs',
]
