"""Epochs without iterations, and resuming with another length of an epoch."""

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from toy_parts import toy_config

from mmtpr.engine.epoch_length import require_iterations
from mmtpr.utils.errors import LaunchError

CHECK = dict(type='mmtpr.EpochLengthHook')
IN_EPOCHS = [
    dict(
        type='LinearLR',
        start_factor=0.1,
        begin=0,
        end=1,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        begin=1,
        end=4,
        T_max=3,
        convert_to_iter_based=True,
    ),
]


@HOOKS.register_module()
class Rates(Hook):
    """Learning rates that the iterations used."""

    seen: list = []

    def before_train_iter(self, runner, *args, **kwargs):
        group = runner.optim_wrapper.optimizer.param_groups[0]
        self.seen.append(group['lr'])


def run(folder, batch_size, schedule, epochs=4, resume=None, **changes):
    cfg = toy_config(folder)
    cfg['train_dataloader']['batch_size'] = batch_size
    cfg['train_cfg']['max_epochs'] = epochs
    cfg['param_scheduler'] = schedule
    cfg['custom_hooks'] = [CHECK, dict(type='Rates')]
    cfg['default_hooks']['checkpoint']['max_keep_ckpts'] = 9
    if resume:
        cfg.update(resume=True, load_from=str(resume))
    cfg.update(changes)
    Rates.seen.clear()
    runner = Runner.from_cfg(Config(cfg))
    runner.train()
    return runner, [*Rates.seen]


def test_no_batch_no_run(tmp_path):
    cfg = toy_config(tmp_path)
    cfg['train_dataloader'].update(batch_size=13, drop_last=True)
    cfg['custom_hooks'] = [CHECK]
    runner = Runner.from_cfg(Config(cfg))
    match = r'0 iterations: 12 samples make no batch of 13, and drop_last=True'
    with pytest.raises(LaunchError, match=match):
        runner.train()
    assert not [*tmp_path.glob('*.pth')]


def test_no_batch_with_a_schedule_that_counts_iterations(tmp_path):
    cfg = toy_config(tmp_path, param_scheduler=IN_EPOCHS)
    cfg['train_dataloader'].update(batch_size=13, drop_last=True)
    runner = Runner.from_cfg(Config(cfg))
    with pytest.raises(LaunchError, match='Set a smaller train_dataloader'):
        require_iterations(runner)  # as tools/train.py does


def test_no_batch_in_each_of_several_processes(tmp_path, monkeypatch):
    monkeypatch.setattr('mmtpr.engine.epoch_length.get_world_size', lambda: 4)
    cfg = toy_config(tmp_path)
    cfg['train_dataloader'].update(batch_size=13, drop_last=True)
    runner = Runner.from_cfg(Config(cfg))
    with pytest.raises(LaunchError, match='in each of 4 processes'):
        require_iterations(runner)


@pytest.mark.parametrize(('before', 'after'), [(3, 6), (6, 3), (3, 5)])
def test_a_schedule_in_epochs_is_converted(tmp_path, before, after):
    _, whole = run(tmp_path / 'whole', after, IN_EPOCHS)
    run(tmp_path / 'a', before, IN_EPOCHS, epochs=2)
    runner, rest = run(
        *(tmp_path / 'b', after, IN_EPOCHS),
        resume=tmp_path / 'a/epoch_2.pth',
    )
    length = -(-12 // after)
    assert rest == pytest.approx(whole[2 * length :], rel=1e-9)
    assert runner.iter == 4 * length
    assert runner.train_loop.max_iters == 4 * length


def test_steps_of_whole_epochs(tmp_path):
    steps = [dict(type='MultiStepLR', milestones=[1, 3], by_epoch=True)]
    _, whole = run(tmp_path / 'whole', 6, steps)
    run(tmp_path / 'a', 3, steps, epochs=2)
    _, rest = run(
        *(tmp_path / 'b', 6, steps), resume=tmp_path / 'a/epoch_2.pth'
    )
    assert rest == pytest.approx(whole[4:])


def test_the_same_length_changes_nothing(tmp_path):
    _, whole = run(tmp_path / 'whole', 3, IN_EPOCHS)
    run(tmp_path / 'a', 3, IN_EPOCHS, epochs=2)
    _, rest = run(
        *(tmp_path / 'b', 3, IN_EPOCHS), resume=tmp_path / 'a/epoch_2.pth'
    )
    # The first schedule of two epochs ends where the other begins.
    assert rest == whole[8:]


def test_a_schedule_in_iterations_stops(tmp_path):
    steps = [dict(type='StepLR', step_size=5, by_epoch=False)]
    run(tmp_path / 'a', 3, steps, epochs=2)
    match = r'4 iterations an epoch, now there are 2 .* StepLR counts iterat'
    with pytest.raises(LaunchError, match=match):
        run(*(tmp_path / 'b', 6, steps), resume=tmp_path / 'a/epoch_2.pth')


def test_without_schedule(tmp_path):
    run(tmp_path / 'a', 3, None, epochs=2)
    runner, rest = run(
        *(tmp_path / 'b', 6, None), resume=tmp_path / 'a/epoch_2.pth'
    )
    assert (len(rest), runner.iter) == (4, 8)


def test_an_endless_sampler_has_no_epochs(tmp_path):
    cfg = toy_config(tmp_path, iters=2)
    cfg['train_dataloader'].update(batch_size=13, drop_last=True)
    cfg['custom_hooks'] = [CHECK]
    runner = Runner.from_cfg(Config(cfg))
    require_iterations(runner)
    runner.train()
    assert runner.iter == 2


def test_a_schedule_of_results_keeps_what_it_knows(tmp_path):
    plateau = dict(type='ReduceOnPlateauLR', monitor='toy/mean', patience=0)
    plateau.update(by_epoch=True, factor=0.1, rule='greater')
    run(tmp_path / 'a', 3, [plateau], epochs=3)
    saved = torch.load(tmp_path / 'a/epoch_3.pth', weights_only=True)
    rate = saved['optimizer']['param_groups'][0]['lr']
    _, rest = run(
        *(tmp_path / 'b', 6, [plateau]), resume=tmp_path / 'a/epoch_3.pth'
    )
    assert rest[0] == rate
    mixed = [plateau, *IN_EPOCHS]
    run(tmp_path / 'c', 3, mixed, epochs=3)
    with pytest.raises(LaunchError, match='follows results of the validation'):
        run(*(tmp_path / 'd', 6, mixed), resume=tmp_path / 'c/epoch_3.pth')
