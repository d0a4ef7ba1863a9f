"""A small retriever on disk, and images for it."""

import torch
from mmengine.config import Config
from PIL import Image

from mmtpr.registry import MODELS
from mmtpr.testing import tiny_retriever_cfg


def write_image(path, colour):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (32, 64), colour).save(path)


def write_model(folder):
    """Paths of a config and of a checkpoint."""
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
            model=tiny_retriever_cfg(),
            test_dataloader=dict(dataset=dataset),
        )
    )
    cfg.dump(folder / 'config.py')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    state = dict(state_dict=model.state_dict())
    torch.save(state, folder / 'model.pth')
    return str(folder / 'config.py'), str(folder / 'model.pth')
