"""A tiny retriever with losses of a test, and batches of pairs for it."""

from typing import Any

import torch
from torch import Tensor

from mmtpr.registry import MODELS
from mmtpr.structures import RetrievalDataSample
from mmtpr.testing import tiny_retriever_cfg


def retriever_with(**losses: dict[str, Any]) -> Any:
    """Build a maker of retrievers that have ITC and these losses."""

    def build(**kwargs):
        cfg = tiny_retriever_cfg()
        cfg['losses'] = dict(itc=dict(type='mmtpr.ITCLoss'), **losses)
        torch.manual_seed(0)
        return MODELS.build({**cfg, **kwargs})

    return build


def pairs_of(captions: list[list[int]]) -> tuple[dict[str, Tensor], list]:
    """Make pairs of random images with captions of these token ids."""
    torch.manual_seed(0)
    tokens = torch.zeros(len(captions), 32, dtype=torch.long)
    for row, words in zip(tokens, captions, strict=True):
        row[: len(words) + 2] = torch.tensor([49406, *words, 49407])
    images = torch.randn(len(captions), 3, 64, 32)
    samples = [
        RetrievalDataSample(metainfo=dict(role='train', pid=i))
        for i in range(len(captions))
    ]
    return dict(image=images, tokens=tokens), samples
