"""A small retriever on disk, and images for it."""

import torch
from mmengine.config import Config
from PIL import Image

from mmtpr.apis import load_embedder, load_retriever, update_gallery
from mmtpr.gallery import FaissStore
from mmtpr.registry import MODELS
from mmtpr.testing import tiny_encoder_cfg, tiny_retriever_cfg


def write_image(path, colour):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (32, 64), colour).save(path)


def write_model(folder, seed=0, **model):
    """Paths of a config and of a checkpoint; ``model`` changes the model."""
    load = [
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=(32, 64), keep_ratio=False),
    ]
    pipeline = [
        dict(type='mmtpr.ImageTransforms', transforms=load),
        dict(type='mmtpr.TokenizeCaption', context_length=32),
        dict(type='mmtpr.PackRetrievalInputs'),
    ]
    dataset = dict(type='mmtpr.CUHKPEDES', pipeline=pipeline)
    cfg = Config(
        dict(
            model=tiny_retriever_cfg(**model),
            test_dataloader=dict(dataset=dataset),
        )
    )
    return _write(folder, cfg, seed)


def write_composed_model(folder):
    """Paths of a config and of a checkpoint of a photo and a sentence."""
    pipeline = [
        dict(
            type='mmtpr.ImageTransforms',
            transforms=[
                dict(type='LoadImageFromFile'),
                dict(type='Resize', scale=(32, 64), keep_ratio=False),
            ],
        ),
        dict(type='mmtpr.TokenizeCaption', context_length=16),
        dict(type='mmtpr.PackRetrievalInputs'),
    ]
    model = dict(
        type='mmtpr.ComposedPersonRetriever',
        encoder=tiny_encoder_cfg(context_length=16),
        query=dict(
            type='mmtpr.PseudoWordQuery',
            tinets=dict(type='mmtpr.TINet', hidden_dim=16),
        ),
        target=dict(type='mmtpr.PatchTokens'),
    )
    dataset = dict(type='mmtpr.ITCPR', pipeline=pipeline)
    cfg = Config(
        dict(
            model=model,
            test_dataloader=dict(dataset=dataset),
            test_evaluator=dict(
                type='mmtpr.ComposedRetrievalMetric', topk_tokens=3
            ),
        )
    )
    return _write(folder, cfg)


def _write(folder, cfg, seed=0):
    folder.mkdir(parents=True, exist_ok=True)
    cfg.dump(folder / 'config.py')
    torch.manual_seed(seed)
    model = MODELS.build(cfg.model)
    state = dict(state_dict=model.state_dict())
    torch.save(state, folder / 'model.pth')
    return str(folder / 'config.py'), str(folder / 'model.pth')


def write_store(folder, images, model, columns=None):
    """A store of a folder of images, and a column of numbers."""
    retriever = load_retriever(*model)
    embedder, identity = load_embedder(*model)
    with FaissStore(folder, identity, write=True) as store:
        update_gallery(store, images, embedder)
        ids = sorted(store.ids())
        store.flush()
        store.upsert(
            ids,
            store.fetch(ids),
            store.columns(ids)['path'],
            columns or dict(camera=[n % 3 for n in range(len(ids))]),
        )
    return retriever
