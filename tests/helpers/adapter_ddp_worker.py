"""One process of the DDP test; rank 0 writes the gradients.

Usage: python adapter_ddp_worker.py RANK WORLD_SIZE FOLDER; rank 0 writes
FOLDER/WORLD_SIZE.pt.
"""

import sys

import torch
from torch import distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from mmtpr.models.adapters import (
    adapter_state_dict,
    freeze_except_adapters,
    inject_adapters,
    load_adapter_state_dict,
)


def build(rank: int) -> nn.Module:
    torch.manual_seed(rank)  # DDP must make the ranks equal, norms included
    model = nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True)
    model.register_buffer('counter', torch.zeros(1))
    targets = [dict(type=r'self_attn\.(q|v)'), dict(type='linear2')]
    inject_adapters(model, dict(type='WoRA', rank=2), targets)
    freeze_except_adapters(model, [r'norm1'])
    for parameter in model.parameters():
        if parameter.dim() == 2 and not parameter.any():
            nn.init.normal_(parameter, std=0.2)
    return model


def main(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    model = build(rank)
    if world > 1:
        dist.init_process_group(
            'gloo',
            init_method=f'file://{folder}/rendezvous',
            rank=rank,
            world_size=world,
        )
        model = DistributedDataParallel(model)
    own = adapter_state_dict(model)
    assert not any(key.startswith('module.') for key in own)
    load_adapter_state_dict(model, {k: v.clone() for k, v in own.items()})
    torch.manual_seed(7)
    x = torch.randn(8, 5, 16)
    size = 8 // world
    x = x[rank * size : (rank + 1) * size]
    # Two forward passes before one backward pass, buffers broadcast.
    loss = model(x).sin().mean() + model(-x).square().mean()
    loss.backward()
    if rank == 0:
        plain = model.module if world > 1 else model
        torch.save(
            {
                n: p.grad
                for n, p in plain.named_parameters()
                if p.requires_grad
            },
            f'{folder}/{world}.pt',
        )
    if world > 1:
        dist.destroy_process_group()


if __name__ == '__main__':
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
