"""A short console, a full log file."""

from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from torch import nn
from toy_parts import toy_config

from mmtpr.engine.brief_runner import BriefRunner, describe_groups
from mmtpr.engine.launch import build_runner


def run(folder, **kwargs):
    options = dict(
        custom_keys={'net.2': dict(lr_mult=0.5, decay_mult=0.0)},
        bias_lr_mult=2.0,
    )
    wrapper = dict(
        optimizer=dict(type='SGD', lr=0.01, weight_decay=0.1),
        paramwise_cfg=options,
    )
    model = dict(type='DropoutRegression', adapter=dict(type='LoRA', rank=2))
    cfg = toy_config(folder, model=model, optim_wrapper=wrapper)
    cfg.update(log_level='INFO', experiment_name=folder.name, **kwargs)
    runner = build_runner(Config(cfg))
    runner.train()
    MMLogger._instance_dict.pop(runner.experiment_name)  # prints to capsys
    return runner


def test_the_console_is_short_and_the_file_is_whole(tmp_path, capsys):
    runner = run(tmp_path / 'brief')
    assert type(runner) is BriefRunner
    told = capsys.readouterr().out
    before = told[: told.index('Epoch(train)')]
    assert len(before.splitlines()) < 16, before
    log = runner.logger.log_file
    assert f'are in "{log}".' in before
    with open(log) as file:
        text = file.read()
    for line in (
        'System environment:',
        'Config:\n',
        'max_epochs=3',
        'Hooks will be executed in the following order',
        'paramwise_options -- net.2.bias:lr=0.005',
        'net.0.linear.weight is skipped since its requires_grad=False',
    ):
        assert line in text
        assert line not in told
    groups = before[before.index('Groups of parameters') :].splitlines()
    assert groups[1:4] == [
        '  lr 0.01 (x1), weight_decay 0.1 (x1): 2 tensors, 40 parameters, '
        'e.g. net.0.lora_A',
        '  lr 0.005 (x0.5), weight_decay 0 (x0): 1 tensors, 1 parameters, '
        'e.g. net.2.bias',
        '  frozen: 3 tensors, 96 parameters',
    ]
    assert groups[0] in text


def test_groups_of_parameters():
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    model[2].bias.requires_grad = False
    plain = build_optim_wrapper(
        model, dict(optimizer=dict(type='Adam', lr=2e-4))
    )
    assert describe_groups(plain.optimizer, model).splitlines()[1:] == [
        '  lr 0.0002 (x1), weight_decay 0: 5 tensors, 32 parameters, e.g. '
        '0.weight',
        '  frozen: 1 tensors, 2 parameters',
    ]
    parts = build_optim_wrapper(
        model,
        dict(
            optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
            paramwise_cfg=dict(
                norm_decay_mult=0.0, custom_keys={'0.': dict(lr_mult=10.0)}
            ),
        ),
    )
    assert describe_groups(parts.optimizer, model).splitlines()[1:4] == [
        '  lr 0.01 (x10), weight_decay 0.05 (x1): 2 tensors, 16 parameters, '
        'e.g. 0.weight',
        '  lr 0.001 (x1), weight_decay 0 (x0): 2 tensors, 8 parameters, e.g. '
        '1.weight',
        '  lr 0.001 (x1), weight_decay 0.05 (x1): 1 tensors, 8 parameters, '
        'e.g. 2.weight',
    ]


def test_custom_keys_that_name_nothing(tmp_path, capsys):
    keys = {k: dict(lr_mult=2.0) for k in ('net.2', 'wide.2', 'x', '.alpha')}
    wrapper = dict(
        optimizer=dict(type='SGD', lr=0.01),
        paramwise_cfg=dict(custom_keys=keys),
    )
    cfg = toy_config(tmp_path / 'idle', optim_wrapper=wrapper)
    cfg.update(log_level='INFO', experiment_name='idle')
    runner = build_runner(Config(cfg))
    runner.build_optim_wrapper(runner.optim_wrapper)
    MMLogger._instance_dict.pop(runner.experiment_name)
    told = capsys.readouterr().out
    assert 'no parameter that trains has "wide.2" or "x" in its name' in told
