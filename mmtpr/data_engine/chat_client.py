"""A server that speaks OpenAI's protocol, through the ``openai`` client."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cached_property
from threading import Lock
from typing import Any, TypeVar

from mmtpr.utils.errors import LaunchError
from mmtpr.utils.lazy import require

#: Requests in a row without an answer after which a server is given up.
_MOST_SILENT = 20


T = TypeVar('T')
A = TypeVar('A')


def in_parallel(
    ask: Callable[[T], A], requests: Sequence[T], concurrency: int
) -> Iterator[tuple[T, A]]:
    """Ask for several things at a time.

    Args:
        ask (Callable): Gives the answer to a request.
        requests (Sequence): The requests.
        concurrency (int): How many at a time.

    Yields:
        tuple: Each with its answer, as soon as it is there. After an error
        no other request is begun.
    """
    with ThreadPoolExecutor(concurrency) as pool:
        waiting = {pool.submit(ask, one): one for one in requests}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        finally:
            for one in waiting:
                one.cancel()


class NoAnswerError(RuntimeError):
    """A request that came to nothing, also when it was sent again."""


class ChatClient:
    """Requests to a chat model.

    Args:
        model (str): Name of the model at the server.
        base_url (str): Address of the server, with ``/v1``.
        api_key (str, optional): Defaults to None: the environment variable
            ``OPENAI_API_KEY``, or none at all.
        timeout (float): Seconds to wait for an answer. Defaults to 120.
        max_retries (int): How often a request is sent again, with longer and
            longer pauses. Defaults to 6.
    """

    def __init__(
        self,
        model: str,
        base_url: str,
        api_key: str | None = None,
        timeout: float = 120.0,
        max_retries: int = 6,
    ) -> None:
        self.model, self.base_url = model, base_url
        self._options = dict(
            base_url=base_url,
            # Servers of one's own want none; the client wants something.
            api_key=api_key or os.environ.get('OPENAI_API_KEY') or 'none',
            timeout=timeout,
            max_retries=max_retries,
        )
        self._silent, self._lock = 0, Lock()
        self._is_checked = False

    @cached_property
    def _openai(self) -> Any:
        return require('openai', 'synthesis', 'A language model at a server')

    @cached_property
    def _client(self) -> Any:
        return self._openai.OpenAI(**self._options)

    def check(self) -> None:
        """See whether the server is there and has the model, once.

        Raises:
            ImportError: If openai is not installed.
            LaunchError: If it is not, or refuses the key.
        """
        if self._is_checked:
            return
        openai = self._openai
        try:
            names = [one.id for one in self._client.models.list()]
        except openai.AuthenticationError as error:
            raise self._refused(error) from error
        except openai.PermissionDeniedError as error:
            raise self._refused(error) from error
        except openai.APIConnectionError as error:
            raise LaunchError(
                f'There is no server at {self.base_url}: start one, or set '
                'base_url of the writer or judge.'
            ) from error
        except openai.APIStatusError:
            names = []  # not every server lists its models
        if names and self.model not in names:
            shown = ', '.join(names[:5])
            raise LaunchError(
                f'The server at {self.base_url} has no model "{self.model}"; '
                f'it has {shown}.'
            )
        self._is_checked = True

    def ask(
        self, messages: Sequence[dict], with_logprobs: bool = False, **more
    ) -> Any:
        """Send messages.

        Args:
            messages (Sequence[dict]): With ``role`` and ``content``.
            with_logprobs (bool): Whether the whole choice is wanted, with the
                log-probabilities, in place of the text. Defaults to False.
            **more: Further arguments of ``chat.completions.create``.

        Returns:
            str | openai.types.chat.chat_completion.Choice: The answer.

        Raises:
            LaunchError: If the server refuses the request or the key, has no
                such model, or answers nothing any more.
            NoAnswerError: If this request came to nothing.
        """
        openai = self._openai
        try:
            found = self._client.chat.completions.create(
                model=self.model, messages=list(messages), **more
            )
            choice = found.choices[0]
        except (openai.AuthenticationError, openai.PermissionDeniedError) as e:
            raise self._refused(e) from e
        except openai.NotFoundError as error:
            raise LaunchError(
                f'The server at {self.base_url} has no model "{self.model}" '
                f'({_told(error)}).'
            ) from error
        except (openai.BadRequestError, openai.UnprocessableEntityError) as e:
            raise LaunchError(
                f'The server at {self.base_url} refuses the request '
                f'({_told(e)}). If it knows no JSON schema or '
                'log-probabilities, turn these off.'
            ) from e
        except openai.APIError as error:
            self._note_silence(error)
            raise NoAnswerError(_told(error)) from error
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            # An answer that is none of the protocol's.
            self._note_silence(error)
            raise NoAnswerError(_told(error)) from error
        with self._lock:
            self._silent = 0
        return choice if with_logprobs else choice.message.content or ''

    def _note_silence(self, error: Exception) -> None:
        with self._lock:
            self._silent += 1
            given_up = self._silent >= _MOST_SILENT
        if given_up:
            raise LaunchError(
                f'The server at {self.base_url} left {_MOST_SILENT} requests '
                f'in a row without an answer (the last: {_told(error)}). What '
                'was done is kept: see to the server and start again.'
            ) from error

    def _refused(self, error: Exception) -> LaunchError:
        return LaunchError(
            f'The server at {self.base_url} refuses the key '
            f'({_told(error)}): set OPENAI_API_KEY, or api_key.'
        )


def _told(error: Exception) -> str:
    text = ' '.join(str(error).split()).rstrip('.')
    return text[:200] or type(error).__name__
