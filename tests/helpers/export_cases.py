"""Small retrievers of each kind, with configs, weights and data on disk."""

import torch
from mmengine.config import Config

from mmtpr.registry import MODELS
from mmtpr.testing import (
    tiny_blip2_cfg,
    tiny_encoder_cfg,
    tiny_swin_bert_cfg,
    write_tiny_data,
    write_tiny_vocab,
)

TARGETS = [
    dict(type=r'clip\.visual\..*\.mlp\.c_fc'),
    dict(type=r'clip\..*\.attn\.(q|v)', rank=4),
]


def text_model():
    """WoRA around a CLIP."""
    encoder = dict(
        type='mmtpr.WoRAModel',
        module=tiny_encoder_cfg(context_length=24),
        rank=2,
        targets=TARGETS,
    )
    return dict(
        type='mmtpr.TextPersonRetriever',
        encoder=encoder,
        losses=dict(sdm=dict(type='mmtpr.SDMLoss')),
    )


def rde_model():
    """WoRA, and selected tokens beside the global embedding."""
    neck = dict(
        type='mmtpr.TokenSelection', embed_dim=24, hidden_dim=12, weight=0.5
    )
    return dict(text_model(), necks=dict(tse=neck))


def word_model():
    """Word4Per: two TINets, and tokens in the gallery as FAFA has them."""
    return dict(
        type='mmtpr.ComposedPersonRetriever',
        encoder=tiny_encoder_cfg(context_length=24),
        query=dict(
            type='mmtpr.PseudoWordQuery',
            tinets=[dict(type='mmtpr.TINet', hidden_dim=16)] * 2,
        ),
        target=dict(type='mmtpr.PatchTokens'),
    )


def swin_model():
    return dict(
        type='mmtpr.CrossModalPersonRetriever',
        encoder=tiny_swin_bert_cfg(),
    )


def blip_model():
    return dict(type='mmtpr.ComposedPersonRetriever', encoder=tiny_blip2_cfg())


MODELS_BY_NAME = dict(
    text=text_model,
    rde=rde_model,
    words=word_model,
    swin=swin_model,
    blip2=blip_model,
)
#: Those that search by captions alone.
BY_CAPTION = ('text', 'rde', 'swin')


def write_case(folder, name):
    """A config, a checkpoint and a dataset of tiny images."""
    data = write_tiny_data(folder / 'data')
    cfg = MODELS_BY_NAME[name]()
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    height, width = model.encoder.image_size
    load = [
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=(width, height), keep_ratio=False),
    ]
    tokenize = dict(type='mmtpr.TokenizeCaption')
    if name in ('swin', 'blip2'):
        vocab = write_tiny_vocab(folder / 'vocab.txt')
        tokenize = dict(type='mmtpr.TokenizeBert', vocab=vocab, max_length=20)
    pipeline = [
        dict(type='mmtpr.ImageTransforms', transforms=load),
        tokenize,
        dict(type='mmtpr.PackRetrievalInputs'),
    ]
    composed = name in ('words', 'blip2')
    dataset = dict(
        type='mmtpr.ITCPR' if composed else 'mmtpr.CUHKPEDES',
        data_root=str(data),
        pipeline=pipeline,
    )
    if not composed:
        dataset.update(split='test')
    whole = Config(
        dict(
            model=cfg,
            test_dataloader=dict(dataset=dataset),
            test_evaluator=dict(
                type='mmtpr.PersonRetrievalMetric', topk_tokens=1 + composed
            ),
        )
    )
    whole.dump(folder / 'config.py')
    with torch.no_grad():  # adapters that do something
        for key, value in model.named_parameters():
            if '.lora_' in key:
                value.normal_(std=0.05)
    torch.save(dict(state_dict=model.state_dict()), folder / 'model.pth')
    return folder
