"""A model and a dataset that draw random numbers from every source."""

import os
import random
import signal

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS, METRICS, MODELS
from torch import nn

from mmtpr.models.adapters import freeze_except_adapters, inject_adapters


@DATASETS.register_module(force=True)
class RandomVectors(BaseDataset):
    """Vectors jittered by Python's, numpy's and torch's generators."""

    METAINFO = dict(classes=('a', 'b'), palette=np.arange(3))

    def load_data_list(self):
        return [dict(value=float(i)) for i in range(12)]

    def prepare_data(self, idx):
        value = self.get_data_info(idx)['value'] / 12
        jitter = [random.random(), np.random.rand(), float(torch.rand(()))]
        x = torch.tensor([value, *jitter])
        return dict(inputs=x, data_samples=value)


@MODELS.register_module(force=True)
class DropoutRegression(BaseModel):
    def __init__(self, bad_at=None, adapter=None):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(4, 16), nn.Dropout(0.3), nn.Linear(16, 1)
        )
        if adapter:
            inject_adapters(self.net, adapter, [dict(type='0')])
            freeze_except_adapters(self, [r'net\.2\.bias'])
        self.bad_at = bad_at
        self.steps = 0

    def forward(self, inputs, data_samples=None, mode='tensor'):
        x = torch.stack(list(inputs))
        out = self.net(x).squeeze(1)
        if mode == 'predict':
            return [dict(out=float(o)) for o in out]
        target = torch.tensor(data_samples)
        self.steps += 1
        fit = (out - target).square().mean()
        if self.steps == self.bad_at:
            fit = fit * float('nan')
        return dict(loss_fit=fit, loss_size=1e-3 * out.abs().mean())


@METRICS.register_module(force=True)
class MeanOutput(BaseMetric):
    default_prefix = 'toy'

    def process(self, data_batch, data_samples):
        self.results += [s['out'] for s in data_samples]

    def compute_metrics(self, results):
        torch.rand(7), np.random.rand(3)  # a validation may draw numbers
        return dict(mean=np.float64(np.mean(results)))


@HOOKS.register_module(force=True)
class KillHook(Hook):
    """Die as under kill -9 (or by an exception) at an iteration."""

    def __init__(self, at, how='exception'):
        self.at = at
        self.how = how

    def after_train_iter(self, runner, *args, **kwargs):
        if runner.iter + 1 == self.at:
            if self.how == 'exception':
                raise KeyboardInterrupt
            os.kill(os.getpid(), signal.SIGKILL)


def toy_config(work_dir, num_workers=0, iters=None, **kwargs):
    """Config dict of a small run with our hooks: 3 epochs of 4 batches."""
    loader = dict(
        batch_size=3,
        num_workers=num_workers,
        dataset=dict(type='RandomVectors', lazy_init=False),
    )
    train_cfg = dict(by_epoch=True, max_epochs=3)
    sampler = dict(type='DefaultSampler', shuffle=True)
    if iters:
        train_cfg = dict(by_epoch=False, max_iters=iters, val_interval=5)
        sampler = dict(type='InfiniteSampler', shuffle=True)
    checkpoint = dict(
        type='mmtpr.AtomicCheckpointHook',
        interval=4 if iters else 1,
        by_epoch=not iters,
        save_best='toy/mean',
        rule='greater',
        max_keep_ckpts=1,
    )
    cfg = dict(
        model=dict(type='DropoutRegression'),
        work_dir=str(work_dir),
        experiment_name=f'toy_{random.SystemRandom().getrandbits(64)}',
        train_dataloader=dict(loader, sampler=sampler),
        val_dataloader=dict(
            loader,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        train_cfg=train_cfg,
        val_cfg=dict(),
        val_evaluator=dict(type='MeanOutput'),
        optim_wrapper=dict(optimizer=dict(type='Adam', lr=0.01)),
        param_scheduler=[
            dict(
                type='CosineAnnealingLR',
                T_max=12,
                by_epoch=False,
                begin=0,
                end=12,
            )
        ],
        default_hooks=dict(
            checkpoint=checkpoint,
            logger=dict(type='LoggerHook', interval=2),
            plain_checkpoint=dict(type='mmtpr.PlainCheckpointHook'),
            randomness=dict(type='mmtpr.ReproducibleRandomnessHook'),
            finite_loss=dict(type='mmtpr.StopOnNonFiniteLossHook'),
        ),
        randomness=dict(seed=3),
        default_scope='mmengine',
        log_level='WARNING',
    )
    cfg.update(kwargs)
    return cfg


def assert_same(a, b, where=''):
    """Compare nested states, tensors to the bit."""
    assert type(a) is type(b), where
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert list(a) == list(b), where
        for key in a:
            assert_same(a[key], b[key], f'{where}.{key}')
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f'{where}.{i}')
    else:
        assert a == b, where
