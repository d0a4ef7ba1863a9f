"""One process of the gather test; the test itself imports the reference.

Usage: python gather_worker.py OUT, with the variables of a launcher set.
"""

import sys

import torch
from mmengine.dist import get_rank, get_world_size
from torch.nn.parallel import DistributedDataParallel

from mmtpr.registry import MODELS
from mmtpr.structures import RetrievalDataSample
from mmtpr.testing import tiny_encoder_cfg, tiny_retriever_cfg

BATCH = 8


def build(gather: bool):
    torch.manual_seed(0)
    losses = {
        name: dict(type=f'mmtpr.{kind}')
        for name, kind in (
            ('sdm', 'SDMLoss'),
            ('itc', 'ITCLoss'),
            ('cmpm', 'CMPMLoss'),
        )
    }
    losses['itc']['positives'] = 'image_id'
    losses['id'] = dict(type='mmtpr.IDLoss', num_classes=4)
    encoder = tiny_encoder_cfg(vocab_size=100, context_length=8)
    cfg = tiny_retriever_cfg(
        encoder=encoder, losses=losses, learn_temperature=True, gather=gather
    )
    return MODELS.build(cfg)


def batch(model):
    torch.manual_seed(1)
    size = BATCH // get_world_size()
    images = torch.randint(0, 256, (BATCH, 3, 64, 32), dtype=torch.uint8)
    tokens = torch.randint(1, 99, (BATCH, 8))
    samples = []
    for i in range(BATCH):
        meta = dict(role='train', pid=i % 4, image_id=i // 3)
        sample = RetrievalDataSample(metainfo=meta)
        sample.tokens = tokens[i]
        samples.append(sample)
    own = slice(get_rank() * size, (get_rank() + 1) * size)
    data = dict(
        inputs=dict(image=list(images[own])), data_samples=samples[own]
    )
    return model.data_preprocessor(data, True)


def gradients(gather: bool) -> dict:
    model = build(gather)
    data = batch(model)
    wrapped = model
    if get_world_size() > 1:
        wrapped = DistributedDataParallel(model)
    losses = wrapped(**data, mode='loss')
    sum(losses.values()).backward()
    named = model.named_parameters()
    found = {n: p.grad for n, p in named if p.grad is not None}
    return dict(found, **{k: v.detach() for k, v in losses.items()})


def both() -> dict:
    return dict(gathered=gradients(True), local=gradients(False))


def main() -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group('gloo')
    result = both()
    if get_rank() == 0:
        torch.save(result, sys.argv[1])
    torch.distributed.destroy_process_group()


if __name__ == '__main__':
    main()
