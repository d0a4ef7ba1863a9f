"""Connection to Qdrant."""

import os
from collections.abc import Mapping
from typing import Any

from .qdrant_filter import qdrant


def connect(
    where: str,
    is_local: bool,
    path: str | os.PathLike | None,
    api_key: str | None,
    timeout: int,
    kwargs: Mapping[str, Any],
) -> Any:
    """Make a client.

    Args:
        where (str): Address of the server, or ``':memory:'``.
        is_local (bool): Whether there is no server.
        path (str | PathLike, optional): Folder of a store without one.
        api_key (str, optional): Key; else that of ``QDRANT_API_KEY``.
        timeout (int): Seconds to wait for an answer.
        kwargs (Mapping[str, Any]): Further arguments of the client.

    Returns:
        qdrant_client.QdrantClient: The client.
    """
    client = qdrant().QdrantClient
    if path is not None:
        return client(path=str(path), **kwargs)
    if is_local:
        return client(location=where, **kwargs)
    key = api_key or os.environ.get('QDRANT_API_KEY')
    return client(url=where, api_key=key, timeout=timeout, **kwargs)
