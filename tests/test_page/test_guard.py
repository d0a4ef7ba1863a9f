"""Requests that are refused before anything of a page runs."""

import asyncio
import json

import pytest

from mmtpr.page import PageGuard
from mmtpr.page.guard import MOST_BYTES, has_remote_path, names_remote_file


def ask(path, body=b'', method='POST', parts=1):
    """Status, headers, and what the application behind saw of the body."""
    size = -(-len(body) // parts) or 1
    pieces = [body[i : i + size] for i in range(0, len(body), size)] or [b'']
    given = iter(
        dict(
            type='http.request',
            body=piece,
            more_body=number < len(pieces) - 1,
        )
        for number, piece in enumerate(pieces)
    )
    sent, seen = [], []

    async def receive():
        return next(given)

    async def send(message):
        sent.append(message)

    async def app(scope, receive, send):
        seen.append((await receive())['body'])
        start = dict(type='http.response.start', status=200, headers=[])
        await send(start)
        await send(dict(type='http.response.body', body=b''))

    scope = dict(type='http', path=path, method=method)
    asyncio.run(PageGuard(app, 2 * MOST_BYTES)(scope, receive, send))
    return sent[0]['status'], dict(sent[0]['headers']), seen


@pytest.mark.parametrize(
    'path',
    [
        '/gradio_api/file=http://other.host/a.png',
        '/gradio_api/file=HTTPS://other.host/a.png',
        '/gradio_api/file=http%3A//other.host/a.png',
        '/gradio_api/file=http%253A%252F%252Fother.host/a.png',
        '/gradio_api/file=ftp://other.host/a.png',
        '/gradio_api/file=file:///etc/passwd',
        '/gradio_api/proxy=https://other.host/a.png',
        '/gradio_api/proxy%3Dhttps://other.host/a.png',
    ],
)
def test_addresses_of_other_hosts(path):
    assert names_remote_file(path)
    status, _, seen = ask(path, method='GET')
    assert (status, seen) == (403, [])


@pytest.mark.parametrize(
    'path', ['/', '/gradio_api/file=/tmp/a/b.jpeg', '/file=C:/tmp/a.jpeg']
)
def test_files_of_the_page(path):
    assert not names_remote_file(path)
    assert ask(path, method='GET')[0] == 200


@pytest.mark.parametrize(
    ('data', 'remote'),
    [
        ([dict(path='http://other.host/a.png')], True),
        ([dict(a=[dict(b=dict(path='https://other.host'))])], True),
        ([dict(path='/tmp/a.png', url='http://127.0.0.1/a.png')], False),
        (['a path is http://other.host'], False),
        ('http://other.host', False),
    ],
)
def test_photos_that_are_addresses(data, remote):
    body = json.dumps(dict(data=data)).encode()
    assert has_remote_path(body) == remote
    status, _, seen = ask('/gradio_api/queue/join', body, parts=3)
    assert (status, seen) == ((403, []) if remote else (200, [body]))


@pytest.mark.parametrize('body', [b'', b'no json', b'[' * 100_000, b'\xff'])
def test_what_is_no_json(body):
    assert not has_remote_path(body)
    assert ask('/login', body)[0] == 200


@pytest.mark.parametrize(
    ('path', 'size', 'status'),
    [
        ('/gradio_api/upload', 2 * MOST_BYTES, 200),
        ('/gradio_api/upload', 2 * MOST_BYTES + 1, 413),
        ('/gradio_api/call/search', MOST_BYTES + 1, 413),
    ],
)
def test_size(path, size, status):
    found, _, seen = ask(path, b'a' * size, parts=7)
    assert found == status
    assert [len(body) for body in seen] == ([size] if status == 200 else [])


def test_browsers_are_told_to_load_nothing_from_elsewhere():
    for path in ('/', '/gradio_api/file=http://a'):
        headers = ask(path, method='GET')[1]
        policy = headers[b'content-security-policy'].decode()
        assert "default-src 'self'" in policy
        assert 'http' not in policy.replace('https:', '')
        assert '*' not in policy
