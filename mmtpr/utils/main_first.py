"""Work that one process does for all."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from torch import distributed as dist

#: How long the others wait. NCCL's own limit is ten minutes.
PATIENCE = timedelta(days=7)


def on_main_process(work: Callable[[], Any]) -> Any:
    """Let the main process do something while the others wait.

    They wait for days if need be, whatever time-out the run's own process
    group has. Every process has to call this.

    Args:
        work (Callable): Called without arguments in the main process alone.

    Returns:
        Any: What ``work`` returned, in every process; to be pickled.

    Raises:
        Exception: What ``work`` raises, in the main process.
        RuntimeError: If it raised, with the same message, in the others.
    """
    several = dist.is_available() and dist.is_initialized()
    if not several or dist.get_world_size() == 1:
        return work()
    group = dist.new_group(backend='gloo', timeout=PATIENCE)
    try:
        return _share(work, group)
    finally:
        dist.destroy_process_group(group)


def _share(work: Callable[[], Any], group: Any) -> Any:
    if dist.get_rank() == 0:
        try:
            result = work()
        except Exception as error:
            failure = f'{type(error).__name__}: {error}'
            dist.broadcast_object_list([failure, None], 0, group)
            raise
        dist.broadcast_object_list([None, result], 0, group)
        return result
    answer: list[Any] = [None, None]
    dist.broadcast_object_list(answer, 0, group)
    failure, result = answer
    if failure is not None:
        raise RuntimeError(f'The main process failed: {failure}')
    return result
