"""Quadruples by any server that speaks OpenAI's protocol."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmtpr.registry import SYNTHESIS
from mmtpr.utils.numbers import check_whole

from ..chat_client import ChatClient, NoAnswerError, RefusedError
from .base import Answer, QuadrupleWriter, Request
from .prompt import PROMPT_VERSION, build_messages
from .quadruple import SCHEMA, parse_quadruple


@SYNTHESIS.register_module()
class OpenAIWriter(QuadrupleWriter):
    """A language model behind vLLM, SGLang, Ollama, llama.cpp or a cloud.

    The JSON schema of an answer is sent along, so that the server holds the
    model to it. Needs the extra ``[synthesis]``.

    Args:
        model (str): Name of the model at the server.
        base_url (str): Address of the server, with ``/v1``.
        api_key (str, optional): Defaults to None: the environment variable
            ``OPENAI_API_KEY``, or none at all.
        temperature (float): Defaults to 0.9.
        max_tokens (int): Longest answer. Defaults to 512.
        concurrency (int): Requests at a time. Defaults to 16.
        timeout (float): Seconds to wait for an answer. Defaults to 120.
        max_retries (int): How often a request is sent again, with longer and
            longer pauses, where the server is busy, ails or is silent.
            Defaults to 6.
        schema (bool): Whether the schema is sent; some servers know none.
            Defaults to True.
    """

    prompt_version = PROMPT_VERSION

    def __init__(
        self,
        model: str,
        base_url: str = 'http://localhost:8000/v1',
        api_key: str | None = None,
        temperature: float = 0.9,
        max_tokens: int = 512,
        concurrency: int = 16,
        timeout: float = 120.0,
        max_retries: int = 6,
        schema: bool = True,
    ) -> None:
        self.model, self.temperature = model, temperature
        self.max_tokens, self.concurrency = max_tokens, concurrency
        self.schema = schema
        check_whole('concurrency', concurrency)
        check_whole('max_tokens', max_tokens)
        self._client = ChatClient(
            model, base_url, api_key, timeout, max_retries, self._trial
        )

    def settings(self) -> dict[str, Any]:
        """See :meth:`QuadrupleWriter.settings`."""
        return dict(
            writer='OpenAIWriter',
            model=self.model,
            prompt=self.prompt_version,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            schema=self.schema,
        )

    def answer(
        self, requests: Sequence[Request]
    ) -> Iterator[tuple[Request, Answer]]:
        """See :meth:`QuadrupleWriter.answer`."""
        yield from self._client.ask_all(
            self._ask, requests, self.concurrency, _no_answer
        )

    def _ask(self, request: Request) -> Answer:
        raw = self._client.ask(
            **self._arguments(
                request.metadata, request.complaint, request.seed
            )
        ).text
        found = parse_quadruple(raw)
        problem = '' if found else 'the answer is no object of the schema'
        return Answer(found, raw, problem)

    def _trial(self) -> dict[str, Any]:
        return self._arguments(dict(gender='woman'), '', 0)

    def _arguments(
        self, metadata: Mapping[str, str], complaint: str, seed: int
    ) -> dict[str, Any]:
        """What a request is sent with."""
        more: dict[str, Any] = {}
        if self.schema:
            wanted = dict(name='quadruple', schema=SCHEMA, strict=True)
            more['response_format'] = dict(
                type='json_schema', json_schema=wanted
            )
        return dict(
            messages=build_messages(metadata, complaint),
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            seed=seed,
            **more,
        )


def _no_answer(_: Request, error: NoAnswerError) -> Answer:
    is_refused = isinstance(error, RefusedError)
    what = 'refused the request' if is_refused else 'did not answer'
    return Answer(None, str(error), f'the server {what}')
