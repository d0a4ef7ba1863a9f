"""Small checkpoints that hold only what was tuned."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import EMAHook, Hook
from torch import nn

from mmtpr.checkpoints.coverage import (
    LACKS,
    adapter_keys,
    trained_keys,
    unused_keys,
)
from mmtpr.checkpoints.function_facts import FACTS, function_facts
from mmtpr.checkpoints.plain import to_plain
from mmtpr.registry import HOOKS
from mmtpr.text.config_tokenizers import token_facts
from mmtpr.utils import atomic_write
from mmtpr.utils.sharded import whole
from mmtpr.utils.unwrap import unwrap

_CONTENTS = ('adapter', 'trainable')


@HOOKS.register_module()
class AdapterCheckpointHook(Hook):
    """Save the adapters, a few megabytes, beside the full checkpoints.

    Writes ``adapter_epoch_N.pth`` (``adapter_iter_N.pth``), and
    ``adapter_best.pth`` whenever the ``CheckpointHook`` finds a new best
    model. A file holds ``meta`` and ``state_dict``, loads with
    ``weights_only=True`` and appears whole or not at all. Under an
    ``EMAHook`` the averaged adapters are saved. A model without adapters is
    left alone.

    Args:
        interval (int): Epochs or iterations between two files; the last is
            always written. -1 writes only the last. Defaults to 1.
        by_epoch (bool): Whether to count epochs. Defaults to True.
        content (str, optional): ``'adapter'`` for the adapters' parameters
            only, or ``'trainable'`` for all that trains, heads and norms
            included. What a file lacks of it stands in its meta, and who
            loads the file is told. Defaults to None: all that trains where
            something beside adapters and losses does, else the adapters.
        max_keep_ckpts (int): Numbered files to keep, -1 for all. Defaults
            to 1.

    Raises:
        ValueError: If ``content`` is neither.

    Example:
        >>> default_hooks = dict(
        ...     adapter=dict(type='mmtpr.AdapterCheckpointHook',
        ...                  content='trainable'))
    """

    # After the CheckpointHook has judged.
    priority = 'LOWEST'

    def __init__(
        self,
        interval: int = 1,
        by_epoch: bool = True,
        content: str | None = None,
        max_keep_ckpts: int = 1,
    ) -> None:
        if content not in (None, *_CONTENTS):
            raise ValueError(
                f'content must be one of {_CONTENTS}, got "{content}".'
            )
        self.interval = interval
        self.by_epoch = by_epoch
        self.content = content
        self.max_keep_ckpts = max_keep_ckpts

    def before_train(self, runner) -> None:
        """Look for adapters.

        Args:
            runner (Runner): The runner of the training process.
        """
        self._active = bool(self._state(runner))
        self._best = runner.message_hub.get_info('best_score')
        if not self._active:
            runner.logger.info(
                'AdapterCheckpointHook: the model has no adapters.'
            )

    def after_train_epoch(self, runner) -> None:
        """Save at the end of an epoch.

        Args:
            runner (Runner): The runner of the training process.
        """
        if self.by_epoch and (
            self.every_n_epochs(runner, self.interval)
            or self.is_last_train_epoch(runner)
        ):
            self._save_numbered(runner, 'epoch', runner.epoch + 1)

    def after_train_iter(self, runner, *args, **kwargs) -> None:
        """Save after an iteration.

        Args:
            runner (Runner): The runner of the training process.
            *args: Not used.
            **kwargs: Not used.
        """
        if not self.by_epoch and (
            self.every_n_train_iters(runner, self.interval)
            or self.is_last_train_iter(runner)
        ):
            self._save_numbered(runner, 'iter', runner.iter + 1)

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        """Save the best.

        Args:
            runner (Runner): The runner of the training process.
            metrics (dict, optional): Results of the validation.
        """
        best = runner.message_hub.get_info('best_score')
        if best != getattr(self, '_best', None):
            self._best = best
            self._save(runner, 'adapter_best.pth', score=best)

    def _save_numbered(self, runner, unit: str, number: int) -> None:
        self._save(runner, f'adapter_{unit}_{number}.pth', **{unit: number})
        if self.max_keep_ckpts > 0 and is_main_process():
            files = _numbered(Path(runner.work_dir), unit)
            old = [path for n, path in files if n <= number]
            for path in old[: -self.max_keep_ckpts]:
                path.unlink(missing_ok=True)

    def _save(self, runner, name: str, **meta) -> None:
        if not getattr(self, '_active', False):
            return
        state = self._state(runner)  # what is spread all processes collect
        if not is_main_process():
            return
        about = dict(
            epoch=runner.epoch,
            iter=runner.iter,
            content=self._content(runner),
            cfg=runner.cfg.pretty_text,
        )
        about.update(meta, **_facts(runner, state))
        file = dict(meta=to_plain(about), state_dict=state)
        with atomic_write(Path(runner.work_dir) / name) as handle:
            torch.save(file, handle)

    def _content(self, runner) -> str:
        """Choose what files hold; see the class."""
        if self.content is not None:
            return self.content
        model = unwrap(runner.model)
        unused, trained = unused_keys(model), trained_keys(model)
        more = trained - adapter_keys(trained)
        return 'adapter' if all(map(unused, more)) else 'trainable'

    def _state(self, runner) -> dict[str, torch.Tensor]:
        """Copy what is saved to the CPU; empty without adapters."""
        # Here, because hooks are imported by projects without adapters too.
        from mmtpr.models.adapters import (
            adapter_state_dict,
            trainable_state_dict,
        )

        state = adapter_state_dict(runner.model)
        if state and self._content(runner) == 'trainable':
            state = trainable_state_dict(runner.model)
        averaged = _averaged(runner)
        if averaged is not None:
            values = averaged.state_dict()
            state = {key: values[key] for key in state}
        return {k: v.detach().cpu() for k, v in whole(state).items()}


def _facts(runner: Any, state: Mapping) -> dict:
    """Note what a file lacks of what trained, and what the model computes."""
    model = unwrap(runner.model)
    unused = unused_keys(model)
    lacking = [
        key
        for key in sorted(trained_keys(model) - state.keys())
        if not unused(key)
    ]
    tokens = token_facts(runner.cfg)
    facts: dict[str, Any] = {FACTS: function_facts(model, tokens)}
    if lacking:
        facts[LACKS] = dict(count=len(lacking), keys=lacking)
    return facts


def _averaged(runner) -> nn.Module | None:
    """The averaged model of an ``EMAHook``, if there is one."""
    hooks = (hook for hook in runner.hooks if isinstance(hook, EMAHook))
    hook = next(hooks, None)
    return None if hook is None else hook.ema_model.module


def _numbered(folder: Path, unit: str) -> list[tuple[int, Path]]:
    """Adapter files of a folder with their numbers, in order."""
    found = []
    for path in folder.glob(f'adapter_{unit}_*.pth'):
        number = path.stem.rpartition('_')[2]
        if number.isdigit():
            found.append((int(number), path))
    return sorted(found)
