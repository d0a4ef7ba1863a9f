"""Reports of what is wrong with the data of a config."""

from .composed import check_composed
from .text_person import (
    check_config,
    check_split,
    count_differences,
    count_problems,
    findings_of,
)

__all__ = [
    'check_composed',
    'check_config',
    'check_split',
    'count_differences',
    'count_problems',
    'findings_of',
]
