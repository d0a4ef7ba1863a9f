"""Small trainings in which the model is asked which pairs train.

Usage as a program: selection_runs.py RANK WORLD_SIZE FOLDER, one of N
processes; FOLDER/../data is made by ``write_tiny_cuhk``.
"""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, TASK_UTILS
from mmengine.runner import Runner
from retrieval_worker import main
from toy_parts import KillHook  # noqa: F401  registered

from mmtpr.datasets import PairSelector
from mmtpr.engine import PairSelectionHook
from mmtpr.engine.dataset_losses import dataset_losses
from mmtpr.engine.resume import find_resume_checkpoint
from mmtpr.testing import tiny_encoder_cfg, write_tiny_cuhk

PIPELINE = [
    dict(
        type='mmtpr.ImageTransforms',
        transforms=[dict(type='LoadImageFromFile')],
    ),
    dict(type='mmtpr.TokenizeCaption', context_length=16),
    dict(type='mmtpr.PackRetrievalInputs'),
]
CHANCE = [
    PIPELINE[0],
    dict(type='mmtpr.SharedFlip', prob=0.5),
    *PIPELINE[1:],
]
TWO = dict(
    tal=dict(type='mmtpr.TALLoss'),
    itc=dict(type='mmtpr.ITCLoss', positives='pid'),
)


@TASK_UTILS.register_module(force=True)
class Thirds(PairSelector):
    """The third of the lowest losses is right, the next one doubtful."""

    needs_losses = True

    def judge(self, dataset, losses=None, seed=0):
        order = np.argsort(sum(losses.values()), kind='stable')
        classes = np.empty(len(order), np.uint8)
        classes[order] = 2 - 3 * np.arange(len(order)) // len(order)
        return classes


@HOOKS.register_module(force=True)
class RecordMarks(Hook):
    """Keeps what samples of each epoch were marked with when they train."""

    priority = 'LOWEST'

    def before_train(self, runner):
        runner.marks = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        assert runner.model.training
        samples = data_batch['data_samples']
        found = {s.pair_index: s.label_hat for s in samples}
        stacked = data_batch['inputs']['label_hat'].tolist()
        assert stacked == [s.label_hat for s in samples]
        runner.marks.append((runner.epoch, found))


def by_epoch(runner):
    """Epoch -> pair -> mark."""
    marks = {}
    for epoch, found in runner.marks:
        marks.setdefault(epoch, {}).update(found)
    return marks


#: Of pairs that write_pairs writes: batches of 8 and of 16 end with 4.
NUMBER = 68


def write_pairs(root):
    """Write the data."""
    return write_tiny_cuhk(root / 'data', num_ids=(17, 2, 2))


def selection_cfg(data, folder, epochs=3, iters=None, **kwargs):
    """Config of a small training; ``selection`` are arguments of the hook."""
    hook = dict(type='mmtpr.PairSelectionHook', batch_size=16)
    hook.update(kwargs.pop('selection', {}))
    dataset = dict(
        type='mmtpr.SelectedPairsDataset',
        dataset=dict(
            type='mmtpr.CUHKPEDES',
            data_root=str(data),
            ann_file='reid_raw.json',
            data_prefix=dict(img_path='imgs'),
            pipeline=CHANCE,
        ),
        selector=kwargs.pop('selector', dict(type='Thirds')),
        plain_pipeline=PIPELINE,
    )
    model = dict(
        type='mmtpr.TextPersonRetriever',
        encoder=tiny_encoder_cfg(context_length=16),
        losses=kwargs.pop('losses', TWO),
    )
    model.update(kwargs.pop('model', {}))
    train_cfg = dict(by_epoch=True, max_epochs=epochs)
    if iters:
        train_cfg = dict(by_epoch=False, max_iters=iters)
    loader = dict(
        batch_size=8,
        num_workers=0,
        collate_fn=dict(type='mmtpr.collate_samples'),
        dataset=dataset,
        sampler=dict(type='DefaultSampler', shuffle=True),
    )
    loader.update(kwargs.pop('loader', {}))
    cfg = dict(
        default_scope='mmtpr',
        work_dir=str(folder),
        experiment_name=f'selection_{random.SystemRandom().getrandbits(64)}',
        model=model,
        train_dataloader=loader,
        train_cfg=train_cfg,
        optim_wrapper=dict(
            optimizer=dict(type='Adam', lr=kwargs.pop('lr', 1e-3))
        ),
        default_hooks=dict(
            checkpoint=dict(
                type='mmtpr.AtomicCheckpointHook',
                interval=4 if iters else 1,
                by_epoch=not iters,
            ),
            logger=dict(type='LoggerHook', interval=2),
            plain_checkpoint=dict(type='mmtpr.PlainCheckpointHook'),
            randomness=dict(type='mmtpr.ReproducibleRandomnessHook'),
        ),
        custom_hooks=[
            hook,
            dict(type='RecordMarks'),
            *kwargs.pop('hooks', []),
        ],
        randomness=dict(seed=3),
        log_level='WARNING',
    )
    cfg.update(kwargs)
    return cfg


def build(cfg):
    """Build the runner of a config."""
    return Runner.from_cfg(Config(cfg))


def train(data, folder, stop_at=None, resume=False, **kwargs):
    """Train, maybe until it is killed, or go on."""
    if stop_at:
        kwargs['hooks'] = [
            *kwargs.get('hooks', []),
            dict(type='KillHook', at=stop_at),
        ]
    cfg = selection_cfg(data, folder, **kwargs)
    if resume:
        cfg.update(resume=True, load_from=find_resume_checkpoint(folder))
    runner = build(cfg)
    if stop_at:
        with pytest.raises(KeyboardInterrupt):
            runner.train()
    else:
        runner.train()
    return runner


def selection(runner):
    """Find the hook."""
    return next(h for h in runner.hooks if isinstance(h, PairSelectionHook))


def one_of_many(folder: Path) -> dict:
    """Marks of an epoch without learning, and losses beside a neck."""
    data = folder.parent / 'data'
    runner = build(selection_cfg(data, folder / 'run', epochs=1, lr=0.0))
    runner.train()
    hook = selection(runner)
    for _, found in runner.marks:
        assert found == {pair: int(hook._trained[pair]) for pair in found}
    necks = dict(tse=dict(type='mmtpr.TokenSelection', hidden_dim=16))
    losses = dict(
        bge=TWO['tal'], tse=dict(type='mmtpr.TALLoss', embedding='tse')
    )
    other = build(
        selection_cfg(
            data, folder / 'neck', losses=losses, model=dict(necks=necks)
        )
    )
    for name, buffer in other.model.named_buffers():
        if name.endswith('running_mean'):
            buffer += get_rank()  # as after a step of its own
    loader = other.train_dataloader
    loader = Runner.build_dataloader(loader, seed=0)
    table = dataset_losses(
        other.model, loader.dataset, loader, batch_size=16, seed=5
    )
    (folder / 'ranking.json').touch()  # what run_processes reads as well
    return dict(
        classes=hook._classes.tolist(),
        trained=hook._trained.tolist(),
        losses={name: values.tolist() for name, values in table.items()},
    )


if __name__ == '__main__':
    torch.use_deterministic_algorithms(True)
    main(one_of_many)
