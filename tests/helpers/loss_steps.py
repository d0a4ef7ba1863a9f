"""One tiny training step of each retriever, for batches of any size."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmtpr.registry import MODELS
from mmtpr.structures import RetrievalDataSample
from mmtpr.testing import (
    tiny_blip2_cfg,
    tiny_encoder_cfg,
    tiny_retriever_cfg,
    tiny_swin_bert_cfg,
    write_tiny_vocab,
)

KINDS = ('text', 'rde', 'cross', 'fafa', 'inversion', 'blip2')
SDM = dict(type='mmtpr.SDMLoss')
NOISE = dict(type='mmtpr.TokenStatisticsNoise', p=1.0)


def build(kind: str, folder: Path, **kwargs: Any) -> nn.Module:
    """Build a retriever with all losses that its configs train."""
    torch.manual_seed(0)
    return MODELS.build(_CFGS[kind](folder) | kwargs).train()


def _text(folder: Path) -> dict:
    return tiny_retriever_cfg(
        encoder=tiny_encoder_cfg(vocab_size=100, context_length=8),
        losses=dict(
            sdm=SDM,
            id=dict(type='mmtpr.IDLoss', num_classes=60),
            mlm=dict(type='mmtpr.MLMLoss', layers=1),
        ),
        learn_temperature=True,
    )


def _rde(folder: Path) -> dict:
    tal = dict(type='mmtpr.TALLoss')
    neck = dict(type='mmtpr.TokenSelection', embed_dim=24, hidden_dim=12)
    return tiny_retriever_cfg(
        encoder=tiny_encoder_cfg(vocab_size=100, context_length=8),
        losses=dict(bge=tal, tse=dict(tal, embedding='tse')),
        necks=dict(tse=dict(neck, ratio=0.5)),
    )


def _cross(folder: Path) -> dict:
    attributes = dict(
        type='mmtpr.AttributePromptLoss',
        prompts=[('a man', 'a woman'), ('a red shirt', 'a blue shirt')],
        vocab=write_tiny_vocab(folder / 'vocab.txt'),
        num_matched=2,
    )
    return dict(
        type='mmtpr.CrossModalPersonRetriever',
        encoder=tiny_swin_bert_cfg(),
        losses=dict(
            itc=dict(type='mmtpr.ITCLoss', positives='image_id'),
            itm=dict(type='mmtpr.ITMLoss'),
            mlm=dict(type='mmtpr.CrossModalMLMLoss'),
            attributes=attributes,
        ),
    )


def _composed(**kwargs: Any) -> dict:
    tinet = dict(type='mmtpr.TINet', hidden_dim=16)
    return dict(
        type='mmtpr.ComposedPersonRetriever',
        encoder=tiny_encoder_cfg(context_length=16),
        query=dict(type='mmtpr.PseudoWordQuery', tinets=tinet),
        **kwargs,
    )


def _fafa(folder: Path) -> dict:
    head = dict(
        type='mmtpr.FAFAHead',
        hidden_dim=16,
        learn_temperature=True,
        max_tokens=12,
        noise=NOISE,
    )
    return _composed(target=dict(type='mmtpr.PatchTokens'), head=head)


def _inversion(folder: Path) -> dict:
    return _composed(losses=dict(text=SDM, vis=SDM), freeze_encoder=True)


def _blip2(folder: Path) -> dict:
    return dict(
        type='mmtpr.ComposedPersonRetriever',
        encoder=tiny_blip2_cfg(),
        head=dict(
            type='mmtpr.FAFAHead',
            topk_tokens=2,
            temperature=None,
            noise=NOISE,
        ),
    )


_CFGS: dict[str, Callable[[Path], dict]] = dict(
    text=_text,
    rde=_rde,
    cross=_cross,
    fafa=_fafa,
    inversion=_inversion,
    blip2=_blip2,
)


def batch(kind: str, number: int, pid: int = 0, hidden: int = 2) -> dict:
    """Make a collated batch.

    Args:
        kind (str): One of :data:`KINDS`.
        number (int): Samples.
        pid (int): The smallest identity.
        hidden (int): Hidden words of a caption.
    """
    generator = torch.Generator().manual_seed(number)
    size = (28, 28) if kind == 'blip2' else (64, 32)
    words, length = (60, 9) if kind == 'blip2' else (28, 8)
    words, length = (
        (9000, 16)
        if kind in ('fafa', 'inversion')
        else (
            words,
            length,
        )
    )

    def draw(low: int, high: int, *shape: int) -> torch.Tensor:
        return torch.randint(low, high, shape, generator=generator)

    samples = []
    for i in range(number):
        meta = dict(pid=pid + i // 2 % 9, image_id=i, attributes=[i % 2, 0])
        sample = RetrievalDataSample(metainfo=dict(meta, caption_cut=False))
        tokens = draw(5, words, length)
        if kind in ('fafa', 'inversion'):
            tokens[0], tokens[3 + number :] = 49406, 0
            tokens[2 + number] = 49407
        sample.tokens = tokens
        if kind in ('text', 'cross'):
            labels = torch.full_like(tokens, -100)
            labels[2 : 2 + hidden] = tokens[2 : 2 + hidden]
            sample.mlm_labels = labels
            sample.mlm_tokens = tokens.masked_fill(labels != -100, 4)
        if kind == 'cross':
            sample.set_data(dict(eda_tokens=tokens.roll(1)))
        samples.append(sample)
    names = ('image', 'reference') if kind in ('fafa', 'blip2') else ('image',)
    inputs = {
        name: list(draw(0, 256, number, 3, *size).byte()) for name in names
    }
    return dict(inputs=inputs, data_samples=samples)
