"""A page that is served."""

import ipaddress
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmtpr.utils import require
from mmtpr.utils.errors import LaunchError
from mmtpr.utils.warn import warn

from .guard import PageGuard
from .layout import build_page, gradio, page_looks
from .page_search import PageSearch
from .photos import MOST_MEGABYTES

#: Where Gradio keeps and serves files, which it reads at every request.
_FOLDERS = ('GRADIO_TEMP_DIR', 'GRADIO_EXAMPLES_CACHE')


def read_login(text: str) -> tuple[str, str]:
    """Read the login of a page.

    Args:
        text (str): ``USER:FILE``; the file holds the password.

    Returns:
        tuple[str, str]: User and password.

    Raises:
        LaunchError: If it is not of that form, or there is no password.
    """
    user, _, path = text.partition(':')
    if not user or not path:
        raise LaunchError(
            f'--auth is USER:FILE, the file holds the password; got "{text}".'
        )
    try:
        password = Path(path).read_text(encoding='utf-8').strip()
        mode = os.stat(path).st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise LaunchError(
            f'The password file "{path}" cannot be read: '
            f'{getattr(error, "strerror", None) or "it is no text"}.'
        ) from error
    if not password:
        raise LaunchError(f'The password file "{path}" is empty.')
    if os.name == 'posix' and mode & 0o077:
        warn(
            f'Other users of this machine can read the password in "{path}": '
            f'chmod 600 {path}'
        )
    return user, password


def is_local(host: str) -> bool:
    """Tell whether only this machine reaches a host name.

    Args:
        host (str): Name or number.

    Returns:
        bool: True if so.
    """
    try:
        return ipaddress.ip_address(host.strip('[]')).is_loopback
    except ValueError:
        return host == 'localhost'


@contextmanager
def served_page(
    search: PageSearch,
    host: str = '127.0.0.1',
    port: int | None = None,
    login: tuple[str, str] | None = None,
    megabytes: float = MOST_MEGABYTES,
    title: str = 'Person search',
) -> Iterator[Any]:
    """Serve a page as long as the block runs.

    Nothing is loaded from other hosts and nothing is told to them. Photos
    that users bring lie in a folder of their own, which goes with the page. It
    is named in the environment, as Gradio wants: a process serves one page.

    Args:
        search (PageSearch): What the page does.
        host (str): Where it listens. Defaults to ``'127.0.0.1'``, which only
            this machine reaches.
        port (int, optional): Likewise. Defaults to None, the first that is
            free from 7860 on.
        login (tuple[str, str], optional): User and password. Defaults to
            None: who reaches the page may use it.
        megabytes (float): Million bytes of an upload. Defaults to 20.
        title (str): Title of the page.

    Yields:
        gradio.Blocks: The page; ``local_url`` is its address.

    Raises:
        ImportError: If Gradio is not installed.
        LaunchError: If the port is taken.
    """
    if not is_local(host) and login is None:
        warn(
            f'The page listens on {host} without --auth: whoever reaches this '
            'machine sees the images. Give --auth USER:FILE.'
        )
    gradio()
    with _own_folder():
        page = build_page(search, title)
        _launch(page, host, port, login, int(megabytes * 1e6))
        try:
            yield page
        finally:
            page.close(verbose=False)


def _launch(
    page: Any,
    host: str,
    port: int | None,
    login: tuple[str, str] | None,
    most_upload: int,
) -> None:
    """Start to serve, in threads of their own."""
    starlette = require('starlette.middleware', 'demo', 'A page')
    # Forms have lines around the file.
    most = most_upload + 65536
    guard = starlette.Middleware(PageGuard, most_upload=most)
    try:
        page.launch(
            server_name=host,
            server_port=port,
            auth=None if login is None else [login],
            max_file_size=most_upload,
            app_kwargs=dict(middleware=[guard]),
            prevent_thread_lock=True,
            show_error=False,
            quiet=True,
            inbrowser=False,
            inline=False,
            share=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            enable_monitoring=False,
            run_history=False,
            allowed_paths=[],
            **page_looks(),
        )
    except OSError as error:
        raise LaunchError(
            f'The page cannot listen on {host}, port '
            f'{port or "7860 to 7959"}: {error}. Choose another with --port.'
        ) from error


@contextmanager
def _own_folder() -> Iterator[None]:
    """A folder for Gradio's files that no other program has."""
    with tempfile.TemporaryDirectory(prefix='mmtpr_page_') as folder:
        off = dict(GRADIO_ANALYTICS_ENABLED='False')
        with _environment(off | dict.fromkeys(_FOLDERS, folder)):
            yield


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set variables of the environment for a while."""
    former = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in former.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
