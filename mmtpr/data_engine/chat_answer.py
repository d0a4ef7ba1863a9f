"""Answers of chat models, read with care: servers send what they like."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmtpr.utils.numbers import is_number

_LONE_SURROGATE = re.compile('[\ud800-\udfff]')


@dataclass(frozen=True)
class ChatAnswer:
    """What a model said.

    Attributes:
        text (str): The text; '' where there is none.
        steps (tuple[tuple[str, Mapping[str, float]], ...]): Each token of the
            text with the log-probabilities of what might have stood there;
            empty where the server gave none, or none that can be read.
    """

    text: str
    steps: tuple[tuple[str, Mapping[str, float]], ...] = ()


def whole_text(text: str) -> str:
    """Make a text one that can be written to a file.

    Args:
        text (str): Half an emoji, which JSON can hold, is no text.

    Returns:
        str: The text, with the replacement character, U+FFFD, in its place.
    """
    return _LONE_SURROGATE.sub('\ufffd', text)


def read_answer(completion: Any) -> ChatAnswer:
    """Read the answer of a server.

    Args:
        completion (openai.types.chat.ChatCompletion): Of unchecked types, as
            the client gives it.

    Returns:
        ChatAnswer: The first choice.

    Raises:
        AttributeError, LookupError, TypeError: If it is none of the protocol.
    """
    choice = completion.choices[0]
    content = choice.message.content
    if isinstance(content, list):  # as in requests, a list of parts
        texts = [part['text'] for part in content if part['type'] == 'text']
        content = ''.join(texts)
    if not isinstance(content, str | None):
        raise TypeError(f'the content is of {type(content).__name__}')
    return ChatAnswer(whole_text(content or ''), _steps(choice))


def _steps(choice: Any) -> tuple[tuple[str, dict[str, float]], ...]:
    try:
        given = choice.logprobs.content or ()
        return tuple(_step(one) for one in given)
    except (AttributeError, TypeError):
        return ()


def _step(step: Any) -> tuple[str, dict[str, float]]:
    found: dict[str, float] = {}
    for one in (step, *(step.top_logprobs or ())):
        # JSON has no minus infinity: null is what is never said.
        if isinstance(one.token, str) and is_number(one.logprob):
            found.setdefault(one.token, float(one.logprob))
    if step.token not in found:
        raise TypeError('a token without its log-probability')
    return step.token, found
