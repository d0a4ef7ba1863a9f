"""Pairs judged by a vision-language model behind a server."""

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from mmtpr.registry import SYNTHESIS
from mmtpr.utils.numbers import check_whole

from ..chat_answer import ChatAnswer
from ..chat_client import ChatClient, NoAnswerError, RefusedError
from .base import TEXTS, JudgeRequest, PairJudge, Verdict
from .questions import (
    DIGITS,
    PROMPT_VERSION,
    QUESTIONS,
    WORST,
    build_messages,
    expected_digit,
    told_digit,
)

#: Side of the grey images of a trial; some models refuse smaller ones.
_TRIAL_SIDE = 64


@dataclass
class _Asked:
    """What came of the questions about a pair so far."""

    answers: dict[str, tuple[float | None, Any]] = field(default_factory=dict)
    missed: dict[str, NoAnswerError] = field(default_factory=dict)


@SYNTHESIS.register_module()
class OpenAIJudge(PairJudge):
    """A vision-language model behind vLLM, SGLang, Ollama or a cloud.

    Five short requests a pair that begin alike, so that a server which keeps
    prefixes reads the images once. A score is the expected digit where the
    server gives log-probabilities, else the digit. Needs the extra
    ``[synthesis]``.

    Args:
        model (str): Name of the model at the server.
        base_url (str): Address of the server, with ``/v1``.
        api_key (str, optional): Defaults to None: the environment variable
            ``OPENAI_API_KEY``, or none at all.
        logprobs (bool): Whether log-probabilities are asked for; some servers
            refuse. Defaults to True.
        max_tokens (int): Longest answer. Defaults to 4.
        concurrency (int): Pairs at a time. Defaults to 16.
        timeout (float): Seconds to wait for an answer. Defaults to 120.
        max_retries (int): How often a request is sent again. Defaults to 6.
    """

    worst = dict.fromkeys(QUESTIONS, WORST)
    prompt_version = PROMPT_VERSION

    def __init__(
        self,
        model: str,
        base_url: str = 'http://localhost:8000/v1',
        api_key: str | None = None,
        logprobs: bool = True,
        max_tokens: int = 4,
        concurrency: int = 16,
        timeout: float = 120.0,
        max_retries: int = 6,
    ) -> None:
        self.model, self.logprobs = model, logprobs
        self.max_tokens, self.concurrency = max_tokens, concurrency
        check_whole('concurrency', concurrency)
        check_whole('max_tokens', max_tokens)
        self._client = ChatClient(
            model, base_url, api_key, timeout, max_retries, self._trial
        )

    def settings(self) -> dict[str, Any]:
        """See :meth:`PairJudge.settings`."""
        return dict(
            judge='OpenAIJudge',
            model=self.model,
            prompt=self.prompt_version,
            logprobs=self.logprobs,
            max_tokens=self.max_tokens,
        )

    def judge(
        self, requests: Sequence[JudgeRequest]
    ) -> Iterator[tuple[JudgeRequest, Verdict]]:
        """See :meth:`PairJudge.judge`."""
        asked = {request.key: _Asked() for request in requests}

        def ask(request: JudgeRequest) -> Verdict:
            return self._judge(request, asked[request.key])

        def give_up(request: JudgeRequest, _: NoAnswerError) -> Verdict:
            return _verdict(asked[request.key])

        yield from self._client.ask_all(
            ask, requests, self.concurrency, give_up
        )

    def _judge(self, request: JudgeRequest, asked: _Asked) -> Verdict:
        """Ask what has no answer yet."""
        images = [_shown(p) for p in (request.reference, request.target)]
        asked.missed.clear()
        for question in QUESTIONS:
            if question in asked.answers:
                continue
            try:
                answer = self._client.ask(
                    **self._arguments(request, question, images)
                )
            except NoAnswerError as error:
                asked.missed[question] = error
            else:
                asked.answers[question] = _read(answer)
        if asked.missed:  # of those, one that the server may be to blame for
            raise min(
                asked.missed.values(),
                key=lambda error: isinstance(error, RefusedError),
            )
        return _verdict(asked)

    def _trial(self) -> dict[str, Any]:
        image = Image.new('RGB', (_TRIAL_SIDE, _TRIAL_SIDE), 'grey')
        content = io.BytesIO()
        image.save(content, format='JPEG')
        shown = _as_url(content.getvalue())
        texts = dict.fromkeys(TEXTS, '')
        pair = JudgeRequest('', 0, texts, Path(), Path())
        return self._arguments(pair, next(iter(QUESTIONS)), [shown, shown])

    def _arguments(
        self, request: JudgeRequest, question: str, images: list[Any]
    ) -> dict[str, Any]:
        """What a question is sent with."""
        more: dict[str, Any] = {}
        if self.logprobs:
            more = dict(logprobs=True, top_logprobs=20)
        return dict(
            messages=build_messages(request, question, (images[0], images[1])),
            temperature=0.0,
            max_tokens=self.max_tokens,
            **more,
        )


def _verdict(asked: _Asked) -> Verdict:
    scores: dict[str, float] = {}
    raw: dict[str, Any] = {}
    for question in QUESTIONS:
        if question in asked.missed:
            score, raw[question] = None, str(asked.missed[question])
        else:
            score, raw[question] = asked.answers[question]
        scores[question] = WORST if score is None else score
        if score is None:
            raw['unreadable'] = [*raw.get('unreadable', []), question]
    return Verdict(scores, 'unreadable' in raw, raw, bool(asked.missed))


def _read(answer: ChatAnswer) -> tuple[float | None, Any]:
    """Score of an answer, and what of it is kept."""
    found = _digit_log_probs(answer)
    if found:
        shown = {d: round(p, 4) for d, p in found.items()}
        kept = dict(answer=answer.text, logprobs=shown)
        return expected_digit(found), kept
    return told_digit(answer.text), answer.text


def _shown(path: Path) -> dict[str, Any]:
    return _as_url(path.read_bytes())


def _as_url(jpeg: bytes) -> dict[str, Any]:
    url = f'data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}'
    return dict(type='image_url', image_url=dict(url=url))


def _digit_log_probs(answer: ChatAnswer) -> dict[str, float]:
    """Log-probabilities of the digits where a digit is the whole answer."""
    said = answer.text.strip()
    if said not in DIGITS:  # 10 begins with a 1
        return {}
    for token, others in answer.steps:
        if token.strip() != said:
            continue
        found = {said: others[token]}
        for other, log_prob in others.items():
            if other.strip() in DIGITS:
                found.setdefault(other.strip(), log_prob)
        return found
    return {}
