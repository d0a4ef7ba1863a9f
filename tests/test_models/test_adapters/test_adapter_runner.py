"""Models with adapters in mmengine's runner."""

import copy
import logging

import pytest
import torch
from adapter_models import TARGETS, Backbone, Classifier
from mmengine.runner import Runner
from torch.utils.data import Dataset

from mmtpr.models.adapters import AdapterModel, WoRAModel, adapter_state_dict

pytestmark = pytest.mark.smoke


class Points(Dataset):
    def __len__(self):
        return 16

    def __getitem__(self, index):
        x = torch.randn(6, generator=torch.manual_seed(index))
        return dict(inputs=x, labels=int(x[0] > 0))


@pytest.mark.parametrize('place', ['part', 'whole'])
def test_runner_trains_with_ema(tmp_path, place):
    torch.manual_seed(0)
    if place == 'part':
        model = Classifier(
            WoRAModel(Backbone(), rank=2, alpha=4.0, targets=TARGETS)
        )
    else:
        model = AdapterModel(
            Classifier(Backbone()),
            adapter=dict(type='WoRA', rank=2),
            targets=[dict(type=r'backbone\.fc\d')],
            trainable=['head', r'before\.bias'],
        )
    before = copy.deepcopy(model.state_dict())
    runner = Runner(
        model,
        work_dir=str(tmp_path),
        train_dataloader=dict(
            dataset=Points(),
            batch_size=8,
            collate_fn=dict(type='default_collate'),
            sampler=dict(type='DefaultSampler', shuffle=True),
        ),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.05)),
        train_cfg=dict(by_epoch=True, max_epochs=3),
        custom_hooks=[dict(type='EMAHook', momentum=0.1)],
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=3)),
        randomness=dict(seed=0),
        experiment_name=f'adapter_{place}_{tmp_path.name}',
    )
    runner.train()
    logging.getLogger('mmengine').handlers.clear()
    after = model.state_dict()
    assert list(after) == list(before)
    moved = {k for k in before if not torch.equal(before[k], after[k])}
    prefix = 'backbone.module.' if place == 'part' else 'module.backbone.'
    own = set(adapter_state_dict(model))
    assert {k for k in own if k.startswith(prefix)} == own
    assert {key for key in own if not key.endswith('norm_rows')} <= moved
    assert not any('.linear.' in key for key in moved)
    sibling = 'before.weight' if place == 'part' else 'module.before.weight'
    assert (sibling in moved) == (place == 'part')
    assert (tmp_path / 'epoch_3.pth').is_file()


def test_runner_compiles_the_train_step_of_a_whole_model():
    """The runner replaces ``train_step``, which is the module's."""
    model = AdapterModel(
        Classifier(Backbone()),
        adapter=dict(type='LoRA', rank=2),
        targets=[dict(type=r'backbone\.fc\d')],
    )
    assert model.data_preprocessor is model.module.data_preprocessor
    assert model.train_step.__self__ is model.module
    data = dict(inputs=torch.randn(4, 6), labels=torch.zeros(4).long())
    loss, _ = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    assert model.module.backbone.fc1.lora_B.grad is not None
