"""One process of the gather test; the test itself imports the reference.

Usage: python gather_worker.py RANK WORLD_SIZE FOLDER; rank 0 writes
FOLDER/two.pt.
"""

import sys

import torch
from mmengine.dist import get_rank, get_world_size
from torch.nn.parallel import DistributedDataParallel

from mmtpr.registry import MODELS
from mmtpr.structures import RetrievalDataSample
from mmtpr.testing import tiny_encoder_cfg, tiny_retriever_cfg

BATCH = 8


def build(gather: bool, **options):
    torch.manual_seed(0)
    losses: dict = {
        name: dict(type=f'mmtpr.{kind}')
        for name, kind in (
            ('sdm', 'SDMLoss'),
            ('itc', 'ITCLoss'),
            ('cmpm', 'CMPMLoss'),
            ('tal', 'TALLoss'),
            ('trl', 'TRLLoss'),
        )
    }
    losses['itc']['positives'] = 'image_id'
    losses['id'] = dict(type='mmtpr.IDLoss', num_classes=4)
    encoder = tiny_encoder_cfg(vocab_size=100, context_length=8)
    learns = 'necks' not in options  # TAL has a temperature of its own
    cfg = tiny_retriever_cfg(
        encoder=encoder,
        losses=options.pop('losses', losses),
        learn_temperature=learns,
        gather=gather,
        **options,
    )
    model = MODELS.build(cfg)
    model.necks.eval()
    return model


def batch(model):
    torch.manual_seed(1)
    size = BATCH // get_world_size()
    images = torch.randint(0, 256, (BATCH, 3, 64, 32), dtype=torch.uint8)
    tokens = torch.randint(1, 99, (BATCH, 8))
    samples = []
    for i in range(BATCH):
        # Pairs that do not count lie in both processes.
        facts = dict(pid=i % 4, image_id=i // 3, label_hat=int(i % 3 != 1))
        meta = dict(role='train', **facts)
        sample = RetrievalDataSample(metainfo=meta)
        sample.tokens = tokens[i]
        samples.append(sample)
    own = slice(get_rank() * size, (get_rank() + 1) * size)
    data = dict(
        inputs=dict(image=list(images[own])), data_samples=samples[own]
    )
    return model.data_preprocessor(data, True)


def gradients(gather: bool, **options) -> dict:
    model = build(gather, **options)
    data = batch(model)
    wrapped = model
    if get_world_size() > 1:
        wrapped = DistributedDataParallel(model)
    losses = wrapped(**data, mode='loss')
    sum(losses.values()).backward()
    named = model.named_parameters()
    found = {n: p.grad for n, p in named if p.grad is not None}
    return dict(found, **{k: v.detach() for k, v in losses.items()})


def neck_gradients() -> dict:
    """Losses of selected tokens; batch norms, which see a process, at rest."""
    neck = dict(type='mmtpr.TokenSelection', embed_dim=24, hidden_dim=12)
    tal = dict(type='mmtpr.TALLoss')
    losses = dict(bge=tal, tse=dict(tal, embedding='tse'))
    neck['ratio'] = 0.5
    return gradients(True, losses=losses, necks=dict(tse=neck))


def build_composed(kind: str):
    """FAFA with all that it draws at random, or stage two of Word4Per."""
    torch.manual_seed(0)
    tinet = dict(type='mmtpr.TINet', hidden_dim=16, dropout=0.0)
    cfg = dict(
        type='mmtpr.ComposedPersonRetriever',
        encoder=tiny_encoder_cfg(context_length=8),
        query=dict(
            type='mmtpr.PseudoWordQuery',
            tinets=tinet,
            template='* {}',
            prompt='a',
        ),
        gather=True,
    )
    if kind == 'fafa':
        cfg['target'] = dict(type='mmtpr.PatchTokens')
        cfg['head'] = dict(
            type='mmtpr.FAFAHead',
            hidden_dim=16,
            learn_temperature=True,
            same_id_weight=0.5,
            max_tokens=20,
            margin=0.0,
            cpl_weight=0.5,
            cpl_partners=3,
            noise=dict(type='mmtpr.TokenStatisticsNoise', p=1.0),
        )
    else:
        sdm = dict(type='mmtpr.SDMLoss')
        cfg.update(losses=dict(text=sdm, vis=sdm), freeze_encoder=True)
    return MODELS.build(cfg)


def triplets(model, pids):
    torch.manual_seed(1)
    size = BATCH // get_world_size()
    images = torch.randint(0, 256, (2, BATCH, 3, 64, 32), dtype=torch.uint8)
    tokens = torch.randint(500, 9000, (BATCH, 8))
    tokens[:, 0], tokens[:, 6], tokens[:, 7] = 49406, 49407, 0
    samples = []
    for pid, row in zip(pids, tokens, strict=True):
        samples.append(RetrievalDataSample(metainfo=dict(pid=pid)))
        samples[-1].tokens = row
    own = slice(get_rank() * size, (get_rank() + 1) * size)
    inputs = dict(image=list(images[0, own]), reference=list(images[1, own]))
    data = dict(inputs=inputs, data_samples=samples[own])
    return model.data_preprocessor(data, True)


def composed_gradients(kind: str, pids) -> dict:
    model = build_composed(kind).train()
    data = triplets(model, pids)
    wrapped = model
    if get_world_size() > 1:
        wrapped = DistributedDataParallel(model)
    torch.manual_seed(2)  # what the head draws
    losses = wrapped(**data, mode='loss')
    losses = {k: v for k, v in losses.items() if k.startswith('loss')}
    sum(losses.values()).backward()
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    found = {n: p.grad for n, p in trained.items()}
    return dict(found, **{k: v.detach() for k, v in losses.items()})


def refusal(pids) -> str:
    model = build_composed('fafa')
    try:
        model(**triplets(model, pids), mode='loss')
    except ValueError as error:
        return str(error)
    return ''


def run_all() -> dict:
    # Groups meet over the border between two processes.
    pids = [0, 0, 1, 2, 1, 3, 3, 0]
    alone = [5] * (BATCH // 2) + [6] * (BATCH // 2)
    return dict(
        gathered=gradients(True),
        local=gradients(False),
        accumulated=gradients(True, accumulate=2),
        necks=neck_gradients(),
        fafa=composed_gradients('fafa', pids),
        inversion=composed_gradients('inversion', pids),
        alone=composed_gradients('fafa', alone),
        refusal=refusal([5] * BATCH),
    )


def main() -> None:
    torch.set_num_threads(1)
    rank, world_size, folder = sys.argv[1:]
    torch.distributed.init_process_group(
        'gloo',
        init_method=f'file://{folder}/rendezvous',
        rank=int(rank),
        world_size=int(world_size),
    )
    result = run_all()
    if get_rank() == 0:
        torch.save(result, f'{folder}/two.pt')
    torch.distributed.destroy_process_group()


if __name__ == '__main__':
    main()
