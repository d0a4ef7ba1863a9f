"""A server that speaks OpenAI's protocol, through the ``openai`` client."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cached_property
from typing import Any, TypeVar

from mmtpr.utils.errors import LaunchError
from mmtpr.utils.lazy import require
from mmtpr.utils.numbers import check_whole

from .chat_answer import ChatAnswer, read_answer, whole_text
from .server_watch import NoAnswerError, RefusedError, ServerWatch

#: What a server says that speaks another protocol ends in one of these.
_NO_PROTOCOL = (
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
_ADDRESS = 'base_url of the writer or judge mostly ends in "/v1"'

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


class ChatClient:
    """Requests to a chat model.

    Args:
        model (str): Name of the model at the server.
        base_url (str): Address of the server, with ``/v1``.
        api_key (str, optional): None for the environment variable
            ``OPENAI_API_KEY``, or none at all.
        timeout (float): Seconds to wait for an answer.
        max_retries (int): How often a request is sent again, with longer and
            longer pauses.
        trial (Callable): Gives arguments of :meth:`ask`: a request like the
            others, which nothing can be wrong with. By it the fault of a
            server is told from that of a request.
    """

    def __init__(
        self,
        model: str,
        base_url: str,
        api_key: str | None,
        timeout: float,
        max_retries: int,
        trial: Callable[[], dict[str, Any]],
    ) -> None:
        check_whole('max_retries', max_retries, least=0)
        self.model, self.base_url = model, base_url
        self._options = dict(
            base_url=base_url,
            # Servers of one's own want none; the client wants something.
            api_key=api_key or os.environ.get('OPENAI_API_KEY') or 'none',
            timeout=timeout,
            max_retries=max_retries,
        )
        self._watch = ServerWatch(base_url, lambda: self._send(**trial()))
        self._is_checked = self._lists_models = False

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
            LaunchError: If it is not, speaks another protocol, or refuses
                the key.
        """
        if self._is_checked:
            return
        openai = self._openai
        try:
            models = list(self._client.models.list())
        except (openai.AuthenticationError, openai.PermissionDeniedError) as e:
            raise self._wrong_key(e) from e
        except openai.APIConnectionError as error:
            raise LaunchError(
                f'There is no server at {self.base_url}: start one, or set '
                'base_url of the writer or judge.'
            ) from error
        except openai.APIStatusError:
            models = []  # not every server lists them
        except (openai.APIError, *_NO_PROTOCOL) as error:
            raise LaunchError(
                f"What answers at {self.base_url} does not speak OpenAI's "
                f'protocol: {_ADDRESS}.'
            ) from error
        ids = [getattr(one, 'id', None) for one in models]
        names = [name for name in ids if isinstance(name, str)]
        if names and self.model not in names:
            shown = ', '.join(names[:5])
            raise LaunchError(
                f'The server at {self.base_url} has no model "{self.model}"; '
                f'it has {shown}.'
            )
        self._is_checked, self._lists_models = True, bool(names)

    def ask_all(
        self,
        ask: Callable[[T], A],
        requests: Sequence[T],
        concurrency: int,
        give_up: Callable[[T, NoAnswerError], A],
    ) -> Iterator[tuple[T, A]]:
        """Ask for several things, and again for those without an answer.

        So that a server which was away for a while leaves no trace, nothing
        is said of a request without an answer before all others are done, it
        was asked once more, and the server was seen at work.

        Args:
            ask (Callable): Gives the answer to a request; may raise
                :class:`NoAnswerError`.
            requests (Sequence): The requests.
            concurrency (int): How many at a time.
            give_up (Callable): Gives what stands for the answer that did not
                come, of a request and its error.

        Yields:
            tuple: Each with its answer, in any order.

        Raises:
            LaunchError: See :meth:`ask`.
        """

        def ask_or_miss(index: int) -> A | NoAnswerError:
            try:
                return ask(requests[index])
            except NoAnswerError as error:
                return error

        self.check()
        self._watch.begin()
        waiting = [*range(len(requests))]
        for _ in range(2):
            missed: dict[int, NoAnswerError] = {}
            for index, found in in_parallel(ask_or_miss, waiting, concurrency):
                if isinstance(found, NoAnswerError):
                    missed[index] = found
                else:
                    yield requests[index], found
            waiting = sorted(missed)
        for error in missed.values():
            if not isinstance(error, RefusedError):
                self._watch.try_out(error)
                break
        for index in waiting:
            yield requests[index], give_up(requests[index], missed[index])

    def ask(self, messages: Sequence[dict], **more: Any) -> ChatAnswer:
        """Send messages.

        Args:
            messages (Sequence[dict]): With ``role`` and ``content``.
            **more: Further arguments of ``chat.completions.create``.

        Returns:
            ChatAnswer: The answer.

        Raises:
            LaunchError: If the server refuses the key or all requests, has no
                such model, or answers nothing any more.
            NoAnswerError: If this request came to nothing.
        """
        try:
            found = self._send(messages, **more)
        except NoAnswerError as error:
            self._watch.note_miss(error)
            raise
        self._watch.note_answer()
        return found

    def _send(self, messages: Sequence[dict], **more: Any) -> ChatAnswer:
        openai = self._openai
        try:
            return read_answer(
                self._client.chat.completions.create(
                    model=self.model, messages=list(messages), **more
                )
            )
        except (openai.AuthenticationError, openai.PermissionDeniedError) as e:
            raise self._wrong_key(e) from e
        except openai.NotFoundError as error:
            told = f'has no model "{self.model}" ({_told(error)})'
            if not self._lists_models:
                told += f", or does not speak OpenAI's protocol: {_ADDRESS}"
            raise LaunchError(
                f'The server at {self.base_url} {told}.'
            ) from error
        except (openai.BadRequestError, openai.UnprocessableEntityError) as e:
            raise RefusedError(_told(e)) from e
        except (openai.APIError, *_NO_PROTOCOL) as error:
            raise NoAnswerError(_told(error)) from error

    def _wrong_key(self, error: Exception) -> LaunchError:
        return LaunchError(
            f'The server at {self.base_url} refuses the key '
            f'({_told(error)}): set OPENAI_API_KEY, or api_key.'
        )


def _told(error: Exception) -> str:
    text = ' '.join(whole_text(str(error)).split()).rstrip('.')
    return text[:200] or type(error).__name__
