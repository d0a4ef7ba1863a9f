"""Statistics of adapters while they train."""

from typing import Any

import torch
from mmengine.hooks import Hook
from torch import nn

from mmtpr.checkpoints.completeness import ADAPTER_MARKS
from mmtpr.registry import HOOKS
from mmtpr.utils.sharded import whole
from mmtpr.utils.unwrap import unwrap

_SCALARS = ('alpha', 'beta')


@HOOKS.register_module()
class AdapterStatsHook(Hook):
    """Log parameter counts at the start and alpha and beta as they change.

    Over all adapted weights, the mean, least and greatest alpha and beta go
    to the message hub as ``train/alpha_mean`` and so on, and from there to
    the log and every vis backend. A model without such scalars (LoRA, DoRA,
    no adapter) gets the counts only.

    Args:
        interval (int): Iterations between two readings; 0 reads none.
            Defaults to 10.

    Raises:
        ValueError: If the interval is negative.

    Example:
        >>> default_hooks = dict(
        ...     adapter_stats=dict(type='mmtpr.AdapterStatsHook', interval=50))
    """

    # Before the logger.
    priority = 'NORMAL'

    def __init__(self, interval: int = 10) -> None:
        if interval < 0:
            raise ValueError(f'interval must be >= 0, got {interval}.')
        self.interval = interval
        self._scalars: dict[str, list[nn.Parameter]] = {}

    def before_train(self, runner) -> None:
        """Count parameters and find the adapters' scalars.

        Args:
            runner (Runner): The runner of the training process.
        """
        model = unwrap(runner.model)
        total = sum(p.numel() for p in model.parameters())
        trains = sum(p.numel() for p in model.parameters() if p.requires_grad)
        names = dict(model.named_parameters())
        adapted = [n for n in names if n.rpartition('.')[2] in ADAPTER_MARKS]
        self._scalars = {
            kind: found
            for kind in _SCALARS
            if (found := _beside(names, adapted, kind))
        }
        runner.logger.info(
            f'Parameters: {trains:,} of {total:,} train '
            f'({100 * trains / max(total, 1):.3g} %); '
            f'{len(adapted)} adapted weights.'
        )

    def after_train_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict | None = None,
    ) -> None:
        """Read alpha and beta.

        Args:
            runner (Runner): The runner of the training process.
            batch_idx (int): Index of the batch.
            data_batch (Any): The batch.
            outputs (dict, optional): Losses by name.
        """
        # Also where the logger writes: it shows what was read last.
        if self._scalars and self.every_n_train_iters(runner, self.interval):
            runner.message_hub.update_scalars(self._read())

    @torch.no_grad()
    def _read(self) -> dict[str, float]:
        """Statistics of all scalars, with one transfer from the device."""
        names, values = [], []
        for kind, parameters in self._scalars.items():
            flat = torch.cat(
                [p.reshape(-1).float() for p in whole(parameters)]
            )
            names += [f'train/{kind}_{s}' for s in ('mean', 'min', 'max')]
            values += [flat.mean(), flat.min(), flat.max()]
        return dict(zip(names, torch.stack(values).tolist(), strict=True))


def _beside(
    names: dict[str, nn.Parameter], adapted: list[str], kind: str
) -> list[nn.Parameter]:
    """Parameters called ``kind`` in the layers that have these."""
    wanted = (f'{n.rpartition(".")[0]}.{kind}' for n in adapted)
    return [names[n] for n in wanted if n in names]
