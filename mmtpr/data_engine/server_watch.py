"""Whose fault it is that no answer comes: of a request, or of the server."""

from collections.abc import Callable
from threading import Lock
from typing import Any

from mmtpr.utils.errors import LaunchError

#: Requests without an answer after which a server is doubted.
_MOST_MISSED = 20


class NoAnswerError(RuntimeError):
    """A request that came to nothing, also when it was sent again."""


class RefusedError(NoAnswerError):
    """A request that the server refuses, and not because of its key."""


class ServerWatch:
    """Watches what becomes of requests, and tries a doubtful server.

    Args:
        address (str): Of the server.
        trial (Callable): Sends a request which nothing can be wrong with, but
            what is wrong with all; raises :class:`NoAnswerError`.
    """

    def __init__(self, address: str, trial: Callable[[], Any]) -> None:
        self.address, self._trial = address, trial
        self._silent = self._refused = 0
        self._has_answered = self._has_passed = False
        self._failure: LaunchError | None = None
        self._lock, self._trial_lock = Lock(), Lock()

    def begin(self) -> None:
        """Think well of the server again."""
        self._failure, self._silent = None, 0

    def note_answer(self) -> None:
        """Note that a request was answered."""
        with self._lock:
            self._silent, self._has_answered = 0, True

    def note_miss(self, error: NoAnswerError) -> None:
        """Note that a request came to nothing.

        Args:
            error (NoAnswerError): Why.

        Raises:
            LaunchError: If the server refuses all requests, as by an option
                it does not know, or is gone.
        """
        if isinstance(error, RefusedError):
            self._note_refusal(error)
        else:
            self._note_silence(error)

    def _note_refusal(self, error: NoAnswerError) -> None:
        with self._lock:
            self._refused += 1
            is_hopeless = self._refused >= _MOST_MISSED
        if self._has_answered:
            return
        with self._trial_lock:
            if not self._has_passed:
                self.try_out(error)
        if is_hopeless and not self._has_answered:
            raise self._refuses_all(error)

    def _note_silence(self, error: NoAnswerError) -> None:
        with self._lock:
            self._silent += 1
            is_doubtful = self._silent >= _MOST_MISSED
        if not is_doubtful:
            return
        if not self._has_answered:
            raise self._is_gone(error)
        with self._trial_lock:
            if self._silent >= _MOST_MISSED:
                self.try_out(error)

    def try_out(self, last: NoAnswerError) -> None:
        """See whether the server answers the trial.

        Args:
            last (NoAnswerError): Why it is doubted.

        Raises:
            LaunchError: If it does not.
        """
        if self._failure is not None:  # a trial waits long
            raise self._failure
        try:
            self._trial()
        except NoAnswerError as error:
            is_refused = isinstance(error, RefusedError)
            self._failure = (
                self._refuses_all(error) if is_refused else self._is_gone(last)
            )
            raise self._failure from error
        with self._lock:
            self._silent, self._has_passed = 0, True

    def _is_gone(self, error: NoAnswerError) -> LaunchError:
        return LaunchError(
            f'The server at {self.address} answers no more (the last: '
            f'{error}). What was done is kept: see to the server and start '
            'again.'
        )

    def _refuses_all(self, error: NoAnswerError) -> LaunchError:
        return LaunchError(
            f'The server at {self.address} refuses the request ({error}). '
            'If it knows no JSON schema or log-probabilities, turn these off.'
        )
