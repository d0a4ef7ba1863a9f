"""Pairs judged by a vision-language model behind a server."""

import base64
from collections.abc import Iterator, Sequence
from typing import Any

from mmtpr.registry import SYNTHESIS

from ..chat_client import ChatClient, NoAnswerError, in_parallel
from .base import JudgeRequest, PairJudge, Verdict
from .questions import (
    DIGITS,
    PROMPT_VERSION,
    QUESTIONS,
    WORST,
    build_messages,
    expected_digit,
    told_digit,
)


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
        self._client = ChatClient(
            model, base_url, api_key, timeout, max_retries
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
        self._client.check()
        yield from in_parallel(self._judge, requests, self.concurrency)

    def _judge(self, request: JudgeRequest) -> Verdict:
        images = _shown(request.reference), _shown(request.target)
        scores, raw = {}, {}
        for question in QUESTIONS:
            messages = build_messages(request, question, images)
            try:
                score, raw[question] = self._ask(messages)
            except NoAnswerError as error:
                score, raw[question] = None, str(error)
            scores[question] = WORST if score is None else score
            if score is None:
                raw['unreadable'] = [*raw.get('unreadable', []), question]
        return Verdict(scores, 'unreadable' in raw, raw)

    def _ask(self, messages: list[dict]) -> tuple[float | None, Any]:
        more: dict[str, Any] = {}
        if self.logprobs:
            more = dict(logprobs=True, top_logprobs=20)
        choice = self._client.ask(
            messages,
            with_logprobs=True,
            temperature=0.0,
            max_tokens=self.max_tokens,
            **more,
        )
        answer = choice.message.content or ''
        found = _digit_log_probs(choice)
        if found:
            shown = {d: round(p, 4) for d, p in found.items()}
            return expected_digit(found), dict(answer=answer, logprobs=shown)
        return told_digit(answer), answer


def _shown(path: Any) -> dict[str, Any]:
    content = base64.b64encode(path.read_bytes()).decode()
    url = f'data:image/jpeg;base64,{content}'
    return dict(type='image_url', image_url=dict(url=url))


def _digit_log_probs(choice: Any) -> dict[str, float]:
    """Log-probabilities of the digits where the answer has its digit."""
    steps = getattr(choice.logprobs, 'content', None) or []
    for step in steps:
        if step.token.strip() not in DIGITS:
            continue
        found = {step.token.strip(): step.logprob}
        for other in step.top_logprobs or []:
            digit = other.token.strip()
            if digit in DIGITS and digit not in found:
                found[digit] = other.logprob
        return found
    return {}
