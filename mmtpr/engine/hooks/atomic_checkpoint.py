"""Checkpoints that a kill at any moment cannot spoil."""

import difflib
import inspect
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mmtpr.registry import HOOKS
from mmtpr.utils.atomic import remove_leftovers
from mmtpr.utils.atomic_backend import ATOMIC_BACKEND


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook``, safe against being killed.

    Two things differ. Files are written beside their place and moved onto it,
    so none is ever cut off. And outdated checkpoints are removed after the
    new one is written, not before, so that at every moment the last and the
    best checkpoint are on disk (which takes the room of one more file for a
    moment).

    Args:
        **kwargs: Arguments of :class:`mmengine.hooks.CheckpointHook`. Without
            ``backend_args`` and with a local ``out_dir`` files are written
            atomically; other storage is used as it is.

    Example:
        >>> default_hooks = dict(checkpoint=dict(
        ...     type='mmtpr.AtomicCheckpointHook', interval=1,
        ...     save_best='mAP', rule='greater', max_keep_ckpts=2))
    """

    backend_args: dict | None
    file_backend: Any

    def __init__(self, *args, **kwargs) -> None:
        check_arguments(kwargs, type(self).__name__)
        super().__init__(*args, **kwargs)
        self._outdated: list[str] | None = None

    def before_train(self, runner) -> None:
        """Choose the storage and clear away what a killed run left.

        Args:
            runner (Runner): The runner of the training process.
        """
        out_dir = str(self.out_dir or runner.work_dir)
        unset = self.backend_args is None and self.file_client_args is None
        if unset and type(get_file_backend(out_dir)) is LocalBackend:
            self.backend_args = dict(backend=ATOMIC_BACKEND)
        super().before_train(runner)
        local = isinstance(self.file_backend, LocalBackend)
        if local and is_main_process():
            remove_leftovers(self.out_dir)

    def after_val_epoch(self, runner, metrics=None) -> None:
        """Save the best checkpoint of a training run.

        Args:
            runner (Runner): The runner.
            metrics (dict, optional): Results of the validation.
        """
        if not hasattr(self, 'file_backend'):
            return  # a validation without training has nothing to save
        super().after_val_epoch(runner, metrics)

    def _save_checkpoint_with_step(self, runner, step, meta) -> None:
        with self._removing_last():
            super()._save_checkpoint_with_step(runner, step, meta)

    def _save_best_checkpoint(self, runner, metrics) -> None:
        wanted = [k for k in self.save_best or () if k != 'auto']
        unknown = [key for key in wanted if key not in metrics]
        if unknown:
            raise KeyError(
                f'save_best={unknown[0]!r} of the CheckpointHook is not '
                f'among the results of the validation: {sorted(metrics)}.'
            )
        with self._removing_last():
            super()._save_best_checkpoint(runner, metrics)

    @contextmanager
    def _removing_last(self) -> Iterator[None]:
        """Put off the parent's removals until it has saved."""
        if self._outdated is not None:  # saving the best saves the last again
            yield
            return
        backend, self._outdated = self.file_backend, []
        self.file_backend = _PutOffRemovals(backend, self._outdated)
        try:
            yield
            for path in self._outdated:
                if path not in self._current():
                    _remove(backend, path)
        finally:
            self.file_backend, self._outdated = backend, None

    def _current(self) -> set[str]:
        """Checkpoints that count now."""
        best = getattr(self, 'best_ckpt_path_dict', {}).values()
        one = getattr(self, 'best_ckpt_path', None)
        return {str(path) for path in (*best, one, self.last_ckpt) if path}


def check_arguments(given: Iterable[str], hook: str) -> None:
    """Refuse what neither mmengine's hook nor the saving takes.

    mmengine hands unknown arguments to ``save_checkpoint``, which minds them
    when the first epoch is over.

    Args:
        given (Iterable[str]): Names of arguments.
        hook (str): Name of the hook, for the message.

    Raises:
        TypeError: If one is not known, with the nearest that is.
    """
    known = {
        *inspect.signature(CheckpointHook.__init__).parameters,
        *inspect.signature(Runner.save_checkpoint).parameters,
    } - {'self', 'kwargs'}
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            raise TypeError(
                f'{hook} has no argument "{name}"'
                f'{f"; meant: {near[0]}?" if near else "."}'
            )


class _PutOffRemovals:
    """A file backend that notes what it is asked to remove."""

    def __init__(self, backend: Any, paths: list[str]) -> None:
        self._backend = backend
        self._paths = paths

    def remove(self, path: str) -> None:
        self._paths.append(str(path))

    rmtree = remove

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


def _remove(backend: Any, path: str) -> None:
    if backend.isdir(path):
        backend.rmtree(path)
    elif backend.isfile(path):
        backend.remove(path)
