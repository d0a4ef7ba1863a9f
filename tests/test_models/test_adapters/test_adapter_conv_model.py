"""A model with adapted convolutions: training, files, resuming."""

import logging

import pytest
import torch
from adapter_models import Classifier
from mmengine.model import BaseModule
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

from mmtpr.models.adapters import (
    AdapterModel,
    adapter_state_dict,
    load_adapter_state_dict,
)


class Images(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        x = torch.randn(6, generator=torch.manual_seed(index))
        return dict(inputs=x, labels=int(x[0] > 0))


class Convs(BaseModule):
    """Six numbers as an image of two channels."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 4, (1, 3), padding='same')
        self.norm = nn.BatchNorm2d(4)
        self.depthwise = nn.Conv2d(4, 4, (1, 2), groups=2)
        self.unused = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        x = self.stem(x.view(-1, 2, 1, 3))
        return self.depthwise(self.norm(x).relu()).mean((2, 3))


TARGETS = [dict(type='stem|depthwise')]


def classifier(targets=TARGETS, kind='WoRA'):
    torch.manual_seed(0)
    backbone = AdapterModel(Convs(), dict(type=kind, rank=2), targets)
    return Classifier(backbone)


def runner_of(tmp_path, epochs, model=None, resume=False):
    return Runner(
        model or classifier(),
        work_dir=str(tmp_path),
        train_dataloader=dict(
            dataset=Images(),
            batch_size=4,
            collate_fn=dict(type='default_collate'),
            sampler=dict(type='DefaultSampler', shuffle=True),
        ),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.05)),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        custom_hooks=[
            dict(type='mmtpr.AdapterGradientHook'),
            dict(type='mmtpr.AdapterStatsHook', interval=1),
            dict(type='mmtpr.AdapterCheckpointHook', content='adapter'),
        ],
        default_hooks=dict(checkpoint=dict(type='CheckpointHook')),
        randomness=dict(seed=0),
        resume=resume,
        experiment_name=f'convs_{epochs}_{resume}_{tmp_path.name}',
    )


def test_trains_resumes_and_loads_the_adapter_file(tmp_path):
    runner = runner_of(tmp_path / 'whole', 4)
    runner.train()
    whole = runner.model.state_dict()
    scalars = runner.message_hub.log_scalars
    assert scalars['train/alpha_mean'].current() != 8.0
    runner_of(tmp_path / 'parts', 2).train()
    again = runner_of(tmp_path / 'parts', 4, resume=True)
    again.train()
    logging.getLogger('mmengine').handlers.clear()
    for key, value in whole.items():
        assert torch.equal(again.model.state_dict()[key], value), key

    fresh = classifier().state_dict()
    moved = {k for k in fresh if not torch.equal(fresh[k], whole[k])}
    own = adapter_state_dict(runner.model)
    assert len(own) == 2 * 6
    assert {k for k in own if not k.endswith('norm_rows')} <= moved
    assert not any('.linear.' in k or '.norm.' in k for k in moved)

    file = tmp_path / 'whole' / 'adapter_epoch_4.pth'
    state = torch.load(file, weights_only=True)['state_dict']
    assert set(state) == set(own)
    model = classifier()
    load_adapter_state_dict(model, state)
    x = torch.randn(3, 6)
    runner.model.eval()
    torch.testing.assert_close(
        model.eval().backbone(x), runner.model.backbone(x), atol=0, rtol=0
    )


def test_a_convolution_that_never_runs_stops_training(tmp_path):
    model = classifier([dict(type='stem|unused')])
    runner = runner_of(tmp_path, 1, model)
    with pytest.raises(RuntimeError, match='unused'):
        runner.train()
    logging.getLogger('mmengine').handlers.clear()


def test_a_former_size_does_not_fit():
    model, other = classifier(), classifier(kind='LoRA')
    with pytest.raises(RuntimeError, match=r'missing: .*magnitude'):
        load_adapter_state_dict(model, adapter_state_dict(other))
    state = adapter_state_dict(model)
    key = 'backbone.module.stem.lora_B'
    state[key] = state[key][:, :1]
    with pytest.raises(RuntimeError, match='of another shape: backbone'):
        load_adapter_state_dict(model, state)


def test_frozen_convolutions_do_not_train():
    model = classifier()
    names = {
        n for n, p in model.backbone.named_parameters() if p.requires_grad
    }
    assert names == {
        f'module.{layer}.{leaf}'
        for layer in ('stem', 'depthwise')
        for leaf in ('lora_A', 'lora_B', 'magnitude', 'alpha', 'beta')
    }
    with pytest.raises(ValueError, match='matches no parameter'):
        AdapterModel(
            Convs(), dict(type='LoRA'), TARGETS, trainable=[r'stem\.linear']
        )
