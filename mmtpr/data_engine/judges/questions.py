"""The questions to a vision-language model, and what its answers mean.

Published is what is asked; the words and the scale are ours.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from .base import JudgeRequest

#: Goes into every row; changed questions get another number.
PROMPT_VERSION = 'questions-1'
#: The scale. The first digit is the worst.
DIGITS = ('1', '2', '3', '4', '5')
WORST = 1.0

_SYSTEM = (
    'You check training data for person retrieval. You see two images, the '
    'left one first. Answer each question with one digit from 1 to 5 and '
    'nothing else: 1 means not at all, 3 partly, 5 entirely.'
)
#: Questions by the name of the score.
QUESTIONS = {
    'quality': (
        'Are both images sharp, natural photos of one whole person, without '
        'artefacts, noise, grey areas or deformed limbs?'
    ),
    'same_person': (
        'Do both images show the same person? Judge by face, hair, skin, '
        'build and age; clothes may differ.'
    ),
    'reference_fits': (
        'Does this text describe the left image, in every detail? '
        '"{reference_caption}"'
    ),
    'target_fits': (
        'Does this text describe the right image, in every detail? '
        '"{target_caption}"'
    ),
    'sentence_leads': (
        'Somebody has the left image and says this to find the right one; '
        'does it name what differs, and nothing else? "{edit}"'
    ),
}
_OF_FIVE = re.compile(r'(?<=\d)\s*/\s*5(?!\d|[.,]\d)')
_NUMBER = re.compile(r'(?<![\d.,])([1-5])(?!\d|[.,]\d|\s*/\s*\d)')


def build_messages(
    request: JudgeRequest, question: str, images: tuple[Any, Any]
) -> list[dict[str, Any]]:
    """Write the messages of one question.

    The images come first and the question last: a server that keeps what
    requests begin with alike reads the images once.

    Args:
        request (JudgeRequest): The pair.
        question (str): Its name.
        images (tuple[Any, Any]): Parts of a message that show the images.

    Returns:
        list[dict[str, Any]]: Messages with ``role`` and ``content``.
    """
    text = QUESTIONS[question].format(**request.texts)
    content = [
        *(dict(type='text', text='Left image:'), images[0]),
        *(dict(type='text', text='Right image:'), images[1]),
        dict(type='text', text=text),
    ]
    system = [dict(type='text', text=_SYSTEM)]
    return [
        dict(role='system', content=system),
        dict(role='user', content=content),
    ]


def expected_digit(log_probs: Mapping[str, float]) -> float | None:
    """Average the digits by their probabilities.

    What else might have been answered does not count.

    Args:
        log_probs (Mapping[str, float]): Log-probability of each digit; a
            missing one is never answered.

    Returns:
        float | None: From 1 to 5; None without any digit.

    Examples:
        >>> round(expected_digit({'4': -0.693, '5': -0.693}), 6)
        4.5
    """
    known = {d: log_probs[d] for d in DIGITS if d in log_probs}
    if not known:
        return None
    top = max(known.values())
    weights = {digit: math.exp(p - top) for digit, p in known.items()}
    total = sum(weights.values())
    return sum(int(digit) * w for digit, w in weights.items()) / total


def told_digit(answer: str) -> float | None:
    """Read the digit of an answer.

    Args:
        answer (str): The answer; ``4/5`` is 4.

    Returns:
        float | None: From 1 to 5; None if there is none, or several, or it
        is of another scale.
    """
    found = {*_NUMBER.findall(_OF_FIVE.sub('', answer))}
    return float(found.pop()) if len(found) == 1 else None
