"""One process of a training with a spread model or with DDP.

Usage: python fully_sharded_worker.py RANK WORLD_SIZE FOLDER; every process
runs all trainings one after another, each in a folder of its own.
"""

import os
import sys
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import DATASETS
from torch import distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Dataset

import mmtpr.models  # noqa: F401
from mmtpr.engine import FullyShardedDataParallel
from mmtpr.engine.launch import build_runner
from mmtpr.engine.processes import wrap_on_cpus
from mmtpr.models.adapters import freeze_except_adapters, inject_adapters
from mmtpr.structures import RetrievalDataSample, collate_samples
from mmtpr.testing import tiny_encoder_cfg, tiny_retriever_cfg
from mmtpr.utils.sharded import whole

SHARDED = dict(
    type='mmtpr.FullyShardedDataParallel', units=[r'.*\.resblocks\.\d+']
)


@DATASETS.register_module(force=True)
class Pairs(Dataset):
    """Random pairs, the same in all processes."""

    metainfo: dict = {}

    def __len__(self):
        return 12

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        sample = RetrievalDataSample(
            metainfo=dict(pid=index % 4, image_id=index, role='gallery')
        )
        sample.tokens = torch.randint(1, 99, (8,), generator=generator)
        image = torch.randint(0, 256, (3, 64, 32), generator=generator)
        return dict(inputs=dict(image=image.byte()), data_samples=sample)


def model_cfg() -> dict:
    encoder = dict(
        type='mmtpr.WoRAModel',
        module=tiny_encoder_cfg(vocab_size=100, context_length=8),
        rank=2,
        targets=[
            dict(type=r'.*\.mlp\.c_(fc|proj)'),
            dict(type=r'.*\.attn\.(q|v|out_proj)'),
        ],
        # A block, a norm and what lies outside of all blocks.
        trainable=[r'clip\.visual\.ln_.*', r'clip\.transformer\..*\.ln_\d'],
    )
    return tiny_retriever_cfg(encoder=encoder, learn_temperature=True)


def run(folder: Path, wrapper: dict | None, iters: int = 3, **kwargs) -> None:
    checkpoint = dict(
        type='mmtpr.AtomicCheckpointHook', by_epoch=False, interval=3
    )
    adapter = dict(
        type='mmtpr.AdapterCheckpointHook', by_epoch=False, interval=3
    )
    loader = dict(
        batch_size=3,
        num_workers=0,
        dataset=dict(type='Pairs'),
        sampler=dict(type='InfiniteSampler', shuffle=True),
        collate_fn=dict(type='mmtpr.collate_samples'),
    )
    cfg = dict(
        model=model_cfg(),
        work_dir=str(folder),
        experiment_name=f'{folder.name}_{iters}',
        train_dataloader=loader,
        train_cfg=dict(by_epoch=False, max_iters=iters),
        optim_wrapper=dict(
            optimizer=dict(type='AdamW', lr=0.01),
            clip_grad=dict(max_norm=1.0),
            paramwise_cfg=dict(custom_keys=dict(ln_=dict(lr_mult=0.5))),
        ),
        default_hooks=dict(
            checkpoint=checkpoint,
            adapter=adapter,
            adapter_stats=dict(type='mmtpr.AdapterStatsHook', interval=1),
            plain_checkpoint=dict(type='mmtpr.PlainCheckpointHook'),
            randomness=dict(type='mmtpr.ReproducibleRandomnessHook'),
            finite_loss=dict(type='mmtpr.StopOnNonFiniteLossHook'),
        ),
        custom_hooks=[
            dict(type='mmtpr.AdapterGradientHook'),
            dict(type='mmtpr.StrictLoadHook', lenient=True),
            dict(type='mmtpr.ResumeCheckHook'),
        ],
        randomness=dict(seed=3),
        default_scope='mmtpr',
        launcher='pytorch',
        env_cfg=dict(dist_cfg=dict(backend='gloo')),
        **kwargs,
    )
    if wrapper is not None:
        cfg['model_wrapper_cfg'] = dict(wrapper)
    cfg = Config(cfg)
    wrap_on_cpus(cfg)
    torch.manual_seed(5)
    runner = build_runner(cfg)
    runner.train()
    runner.model.eval()
    data = [Pairs()[i] for i in range(4)]
    samples = runner.model.val_step(collate_samples(data))
    if runner.rank == 0:
        feats = torch.stack([s.features.flatten() for s in samples])
        torch.save(feats, folder / 'features.pt')


def mixed(folder: Path) -> None:
    """Gradients of float32 adapters on a bfloat16 base, both ways."""
    for name in ('ddp', 'sharded'):
        torch.manual_seed(0)
        layers = [nn.Linear(8, 12), nn.Tanh(), nn.Linear(12, 4)]
        module = nn.Sequential(*layers).to(torch.bfloat16)
        inject_adapters(module, dict(type='WoRA', rank=2), [dict(type='[02]')])
        freeze_except_adapters(module)
        for layer in (module[0], module[2]):
            nn.init.normal_(layer.lora_B)
        if name == 'ddp':
            model = DistributedDataParallel(module)
        else:
            model = FullyShardedDataParallel(module, units=['[02]'])
        assert module[0].linear.weight.dtype == torch.bfloat16
        assert module[0].lora_A.dtype == torch.float32
        torch.manual_seed(dist.get_rank())
        model(torch.randn(5, 8, dtype=torch.bfloat16)).sin().sum().backward()
        found = {
            n: whole(p.grad)
            for n, p in module.named_parameters()
            if p.requires_grad
        }
        if dist.get_rank() == 0:
            torch.save(found, folder / f'mixed_{name}.pt')


def join(rank: str, world: str, folder: str) -> Path:
    """Become one of several processes on the CPU; give the folder."""
    torch.set_num_threads(1)
    os.environ.update(
        RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=world, CUDA_VISIBLE_DEVICES=''
    )
    torch.distributed.init_process_group(
        'gloo',
        init_method=f'file://{folder}/rendezvous',
        rank=int(rank),
        world_size=int(world),
    )
    return Path(folder)


def leave() -> None:
    """End this process when all have come so far."""
    dist.barrier()
    dist.destroy_process_group()
    # What FSDP keeps of the group outlives it, with gloo's threads, which at
    # the end of the interpreter abort the process at times.
    sys.stdout.flush()
    os._exit(0)


def main(rank: str, world: str, folder: str) -> None:
    root = join(rank, world, folder)
    run(root / 'ddp', None)
    run(root / 'sharded', SHARDED)
    run(root / 'long', SHARDED, iters=6)
    last = str(root / 'sharded' / 'iter_3.pth')
    run(root / 'resumed', SHARDED, iters=6, resume=True, load_from=last)
    last = str(root / 'ddp' / 'iter_3.pth')
    run(root / 'from_ddp', SHARDED, iters=6, resume=True, load_from=last)
    mixed(root)
    leave()


if __name__ == '__main__':
    main(*sys.argv[1:])
