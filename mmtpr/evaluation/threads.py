"""One thread for each piece of work instead of all threads on every piece."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

# Each worker has its own buffers.
_MAX_WORKERS = 8


def map_in_threads(
    function: Callable[[int], Any], items: Sequence[int], is_cuda: bool = False
) -> list[Any]:
    """Call a function for each item, on CPUs in as many threads as torch has.

    torch splits every single operation over its threads and waits for all of
    them. Where operations take a millisecond that waste shows, and where cores
    are shared with other programs it is most of the time. Here a thread takes
    an item and runs it alone.

    Args:
        function (Callable[[int], Any]): Must not depend on the order of calls.
        items (Sequence[int]): Its arguments.
        is_cuda (bool): Whether the work is done by a GPU; then there are no
            threads. Defaults to False.

    Returns:
        list[Any]: The results, in the order of the items.
    """
    threads = torch.get_num_threads()
    workers = min(threads, _MAX_WORKERS, len(items))
    if is_cuda or workers < 2:
        return [function(item) for item in items]
    try:
        with ThreadPoolExecutor(
            workers, initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            return list(pool.map(function, items))
    finally:
        torch.set_num_threads(threads)
