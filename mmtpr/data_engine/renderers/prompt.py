"""The prompts that ask an image generator for a pair.

Those of the published pipeline are not known; these are ours.
"""

from collections.abc import Mapping
from typing import Any

#: Go into every row; a changed prompt gets another number.
PANELS_VERSION, EDIT_VERSION = 'panels-1', 'edit-1'


def panels_prompt(record: Mapping[str, Any]) -> str:
    """Ask for both images side by side.

    Args:
        record (Mapping[str, Any]): Row of a writer.

    Returns:
        str: The prompt.
    """
    return (
        'Two full-body photos of the same person side by side, two panels of '
        'the same size. '
        f'Left panel: {_sentence(record["reference_caption"])} '
        f'Right panel: {_sentence(record["target_caption"])} '
        'The person has the same face, hair and build in both panels and is '
        f'seen from head to shoes.{_frame(record)}'
    )


def reference_prompt(record: Mapping[str, Any]) -> str:
    """Ask for the reference image alone.

    Args:
        record (Mapping[str, Any]): Row of a writer.

    Returns:
        str: The prompt.
    """
    return (
        f'A full-body photo. {_sentence(record["reference_caption"])} The '
        f'person is seen from head to shoes.{_frame(record)}'
    )


def edit_prompt(record: Mapping[str, Any]) -> str:
    """Ask for the target image, made of the reference image.

    Args:
        record (Mapping[str, Any]): Row of a writer.

    Returns:
        str: The prompt.
    """
    return (
        f'The same person in another photo, in another pose. '
        f'{_sentence(record["edit"])} Face, hair, build and all other clothes '
        'stay as they are. The person is seen from head to shoes.'
    )


def _sentence(text: str) -> str:
    return text if text.rstrip().endswith(('.', '!', '?')) else f'{text}.'


def _frame(record: Mapping[str, Any]) -> str:
    """Where it is and how clear the image is, if the record says so."""
    about = record.get('metadata') or {}
    told = [
        about['scene'] if about.get('scene') else '',
        f'{about["clarity"]} photo' if about.get('clarity') else '',
    ]
    words = ', '.join(part for part in told if part)
    return f' {words[0].upper()}{words[1:]}.' if words else ''
