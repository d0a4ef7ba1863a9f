"""What a page refuses, before anything of it is run."""

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

#: Bytes of a request that is no upload.
MOST_BYTES = 1 << 20
#: What browsers may load for the page, and from where: this host alone.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'self'"
)
_HEADERS = (
    (b'content-security-policy', POLICY.encode()),
    (b'referrer-policy', b'no-referrer'),
    (b'x-content-type-options', b'nosniff'),
)
# A drive of Windows has one letter.
_SCHEME = re.compile(r'[a-z][a-z0-9+.-]+:', re.IGNORECASE)


class PageGuard:
    """Middleware around Gradio's application.

    Gradio fetches a file by its address where a request names one. The guard
    refuses that: a page answers from its own machine and asks no other. It
    also limits the size of requests, and tells browsers to load nothing from
    other hosts.

    Args:
        app (Callable): The application that is guarded (ASGI).
        most_upload (int): Bytes of a request that uploads.
    """

    def __init__(self, app: Any, most_upload: int) -> None:
        self.app, self.most_upload = app, most_upload

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer a request, or pass it on.

        Args:
            scope (MutableMapping): Of ASGI, as are the others.
            receive (Callable): Gives parts of the request.
            send (Callable): Takes parts of the answer.
        """
        if scope['type'] != 'http':
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: MutableMapping) -> None:
            if message['type'] == 'http.response.start':
                message['headers'] = [*message.get('headers', ()), *_HEADERS]
            await send(message)

        if names_remote_file(scope['path']):
            await _refuse(send_with_headers, 403, 'Not a file of this page.')
            return
        if scope['method'] in ('GET', 'HEAD', 'OPTIONS'):
            await self.app(scope, receive, send_with_headers)
            return
        uploads = scope['path'].rstrip('/').endswith('/upload')
        most = self.most_upload if uploads else MOST_BYTES
        body = await _read(receive, most)
        if body is None:
            told = f'The request has more than {most / 1e6:,.1f} MB.'
            await _refuse(send_with_headers, 413, told)
            return
        if not uploads and has_remote_path(body):
            await _refuse(
                send_with_headers, 403, 'Upload the photo, not its address.'
            )
            return
        await self.app(scope, _again(body, receive), send_with_headers)


def names_remote_file(path: str) -> bool:
    """Tell whether the path of a request asks for a file of another host.

    Args:
        path (str): The path.

    Returns:
        bool: True if so.
    """
    former = ''
    while path != former:
        former, path = path, unquote(path)
    _, _, rest = path.partition('file=')
    return _SCHEME.match(rest) is not None or 'proxy=' in path


def has_remote_path(body: bytes) -> bool:
    """Tell whether a request names a file by its address.

    Args:
        body (bytes): Of the request.

    Returns:
        bool: True if a ``path`` in its json is an address.
    """
    try:
        waiting = [json.loads(body)]
    except (ValueError, RecursionError):
        return False  # nothing that Gradio reads either
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            path = part.get('path')
            if isinstance(path, str) and '://' in path:
                return True
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)
    return False


async def _read(receive: Receive, most: int) -> bytes | None:
    """The body of a request; None where it is larger."""
    parts, size = [], 0
    while True:
        message = await receive()
        part = message.get('body', b'')
        size += len(part)
        if size > most:
            return None
        parts.append(part)
        if not message.get('more_body'):
            return b''.join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """Give a body that was read, then what follows it."""
    given = False

    async def receive_again() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return dict(type='http.request', body=body, more_body=False)

    return receive_again


async def _refuse(send: Send, status: int, why: str) -> None:
    content = why.encode()
    headers = [
        (b'content-type', b'text/plain; charset=utf-8'),
        (b'content-length', str(len(content)).encode()),
        (b'connection', b'close'),
    ]
    start = dict(type='http.response.start', status=status, headers=headers)
    await send(start)
    await send(dict(type='http.response.body', body=content))
