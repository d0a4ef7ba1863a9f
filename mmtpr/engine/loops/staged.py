"""Base of loops with an evaluation stage of their own."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.runner import autocast
from torch import Tensor, nn

from mmtpr.structures import RetrievalDataSample
from mmtpr.utils.unwrap import unwrap


class StagedLoop(ABC):
    """Mixin of mmengine's loops: encodes batches, then does the stage.

    A subclass has :meth:`encode`, which handles a batch, and :meth:`finish`,
    which hands the samples to the evaluator.
    """

    #: ``'val'`` or ``'test'``, which hooks are called.
    stage: str
    # Of mmengine's loop, which the subclass mixes in.
    runner: Any
    dataloader: Any
    evaluator: Any
    fp16: bool

    @property
    def model(self) -> Any:
        """The model without a wrapper of distributed training."""
        return unwrap(self.runner.model)

    def run(self) -> dict[str, float]:
        """Evaluate.

        Returns:
            dict[str, float]: The numbers of the evaluator.
        """
        call, stage = self.runner.call_hook, self.stage
        call(f'before_{stage}')
        call(f'before_{stage}_epoch')
        self.runner.model.eval()
        for idx, data_batch in enumerate(self.dataloader):
            self.run_iter(idx, data_batch)
        with torch.no_grad(), autocast(enabled=self.fp16):
            self.finish()
        metrics = self.evaluator.evaluate(len(self.dataloader.dataset))
        call(f'after_{stage}_epoch', metrics=metrics)
        call(f'after_{stage}')
        return metrics

    @torch.no_grad()
    def run_iter(self, idx: int, data_batch: Any) -> None:
        """Handle one batch.

        Args:
            idx (int): Its number.
            data_batch (Any): What the data loader gives.
        """
        facts = dict(batch_idx=idx, data_batch=data_batch)
        self.runner.call_hook(f'before_{self.stage}_iter', **facts)
        with autocast(enabled=self.fp16):
            data = self.model.data_preprocessor(data_batch, False)
            outputs = self.encode(data['inputs'], data['data_samples'])
        self.runner.call_hook(
            f'after_{self.stage}_iter', **facts, outputs=outputs
        )

    @abstractmethod
    def encode(
        self,
        inputs: dict[str, Tensor],
        samples: Sequence[RetrievalDataSample],
    ) -> list[RetrievalDataSample]:
        """Encode a batch.

        Args:
            inputs (dict): From the data preprocessor.
            samples (Sequence[RetrievalDataSample]): The samples.

        Returns:
            list[RetrievalDataSample]: The same samples.
        """

    @abstractmethod
    def finish(self) -> None:
        """Do what needs all batches."""


def text_mask(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    """Tell tokens from padding.

    Args:
        model (nn.Module): Its ``pad_token_id``, 0 if it has none, is padding.
        inputs (dict): With ``tokens`` (K, L) and, if at hand,
            ``tokens_mask``.

    Returns:
        Tensor: 1 where a token counts, of shape (K, L), long.
    """
    if 'tokens_mask' in inputs:
        return inputs['tokens_mask']
    return (inputs['tokens'] != getattr(model, 'pad_token_id', 0)).long()
