"""Words where numbers belong, and numbers of no sense."""

import pytest
from mmengine.config import Config

from mmtpr.engine.config_values import check_config_values, check_whole_groups
from mmtpr.engine.launch import load_config
from mmtpr.evaluation import PersonRetrievalMetric
from mmtpr.utils.errors import LaunchError


@pytest.fixture(scope='module')
def text(repo_root):
    return Config.fromfile(repo_root / 'configs/wora_cuhk.py').to_dict()


def changed(text, key, value):
    cfg = Config(text)
    cfg.merge_from_dict({key: value})
    return cfg


@pytest.mark.parametrize(
    ('key', 'value', 'match'),
    [
        ('train_dataloader.batch_size', 'four', 'a whole number >= 1'),
        ('train_dataloader.batch_size', 0, 'a whole number >= 1'),
        ('train_dataloader.batch_size', True, 'a whole number >= 1'),
        ('val_dataloader.num_workers', 'two', 'a whole number >= 0'),
        ('train_dataloader.prefetch_factor', 0, 'None or a whole number >= 1'),
        ('test_dataloader.drop_last', 'no', 'True or False'),
        ('train_dataloader.dataset.pipeline', 5, 'a list'),
        ('train_cfg.max_epochs', 0, 'a whole number >= 1'),
        ('train_cfg.val_interval', 0, 'a whole number >= 1'),
        ('optim_wrapper.optimizer.lr', 'fast', 'a number >= 0'),
        ('optim_wrapper.optimizer.lr', float('nan'), 'a number >= 0'),
        ('optim_wrapper.accumulative_counts', 0, 'a whole number >= 1'),
        ('param_scheduler', 5, 'a dict or a list of dicts'),
        ('custom_hooks', 5, 'a list'),
        ('env_cfg.mp_cfg.mp_start_method', 'spawnn', 'one of '),
        ('model.encoder', None, 'a dict with a type'),
        ('randomness.seed', 'x', 'None or a whole number from 0'),
        ('randomness.seed', -1, 'None or a whole number from 0'),
        ('randomness', 5, 'a dict'),
        ('env_cfg.dist_cfg', 5, 'a dict'),
        ('default_hooks.checkpoint.interval', 0, '-1 for never'),
        ('log_level', 'LOUD', 'a level such as INFO'),
        ('load_from', 5, 'a path or None'),
        ('resume', 'yes', 'True or False'),
        ('model', 5, 'a dict'),
        ('train_dataloader.dataset', None, 'a dict with a type'),
    ],
)
def test_what_a_runner_reads(text, key, value, match):
    with pytest.raises(LaunchError) as caught:
        check_config_values(changed(text, key, value))
    assert str(caught.value).startswith(f'{key}={value!r}: it must be {match}')


@pytest.mark.parametrize(
    ('key', 'value', 'match'),
    [
        ('model.encoder.rank', 'eight', 'WoRAModel takes int'),
        ('model.encoder.rank', 2.5, 'WoRAModel takes int'),
        ('model.encoder.beta', None, 'WoRAModel takes float'),
        ('model.encoder.targets', 5, r'WoRAModel takes Sequence\[dict\]'),
        ('model.temperature', 'warm', 'Retriever takes float or None'),
        ('model.losses', 'x', r'takes dict\[str, dict\] or None'),
        ('model.losses.id.num_classes', 'abc', 'IDLoss takes int'),
        (
            'model.encoder.module.image_size',
            [32],
            r'takes tuple\[int, int\] or int or None',
        ),
        ('train_dataloader.dataset.max_rank', 'x', 'takes int or None'),
        ('train_dataloader.dataset.dataset.ann_file', 5, 'takes str'),
        ('train_dataloader.dataset.dataset.pid_offset', 'x', 'takes int'),
        ('train_dataloader.dataset.dataset.indices', 'x', 'takes int or '),
        ('val_evaluator.topk', 5, r'takes Sequence\[int\]'),
        ('default_hooks.checkpoint.max_keep_ckpts', 'x', 'Hook takes int'),
        ('param_scheduler.0.end', 'x', 'LinearLR takes int'),
    ],
)
def test_what_a_class_takes(text, key, value, match):
    with pytest.raises(LaunchError, match=match) as caught:
        check_config_values(changed(text, key, value))
    assert str(caught.value).startswith(f'{key}={value!r}: ')


def test_an_unknown_optimizer(text):
    cfg = changed(text, 'optim_wrapper.optimizer.type', 'Adamm')
    with pytest.raises(LaunchError, match='no optimizer "Adamm"; meant: Adam'):
        check_config_values(cfg)


@pytest.mark.parametrize('loops', ['train', 'val'])
def test_what_belongs_together(text, loops):
    cfg = Config(text)
    cfg[f'{loops}_cfg'] = None
    with pytest.raises(LaunchError, match=f'but no {loops}_cfg: a runner nee'):
        check_whole_groups(cfg)
    for name in [n for n in cfg if n.startswith(loops)]:
        cfg[name] = None
    if loops == 'val':
        check_whole_groups(cfg)


def test_all_configs_pass(repo_root):
    for path in sorted((repo_root / 'configs').glob('*.py')):
        check_whole_groups(load_config(str(path)))


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('model.temperature', 1),  # an int for a float
        ('model.encoder.module.image_size', [384, 128]),  # a list
        ('train_dataloader.dataset.dataset.indices', 50),
        ('randomness.seed', None),
        ('default_hooks.checkpoint.interval', -1),
        ('train_cfg.max_epochs', 4.0),
        ('optim_wrapper.optimizer.type', 'Lamb'),
        ('log_level', 10),
        ('train_dataloader.drop_last', None),
        ('default_hooks.checkpoint.save_best', 'auto'),
        ('optim_wrapper.clip_grad', dict(max_norm=1)),
        ('custom_hooks', [dict(type='EMAHook')]),
        ('model.encoder.module.model', 'ViT-L-14'),
        ('train_cfg', dict(type='IterBasedTrainLoop', max_iters=9)),
    ],
)
def test_what_is_right_passes(text, key, value):
    check_config_values(changed(text, key, value))


def test_a_subclass_may_take_other_values(text):
    class Own(PersonRetrievalMetric):
        def __init__(self, topk='1,5', **kwargs):
            super().__init__(topk=[*map(int, topk.split(','))], **kwargs)

    cfg = changed(text, 'val_evaluator', dict(type=Own, topk='1,5,10'))
    check_config_values(cfg)
    cfg.val_evaluator = dict(type=Own, ties=5)  # the parent's
    with pytest.raises(LaunchError, match='ties=5: Own takes str'):
        check_config_values(cfg)


def test_selectors_of_pairs(text):
    for selector, match in (
        (dict(type='mmtpr.ConsensusDivision', threshold='0.5'), 'takes float'),
        (dict(type='mmtpr.ScoreSelector', max_rank='50'), 'takes int or None'),
    ):
        cfg = Config(text)
        cfg.train_dataloader.dataset.selector = selector
        with pytest.raises(LaunchError, match=f'dataset.selector.*{match}'):
            check_config_values(cfg)


def test_own_loops_read_their_own_values(text):
    loop = dict(type='MyLoop', max_epochs='1')
    check_config_values(changed(text, 'train_cfg', loop))
    cfg = Config(text)
    cfg.val_dataloader = [cfg.val_dataloader]
    check_config_values(cfg)


def test_a_misspelt_default_hook(text):
    cfg = changed(text, 'default_hooks.saver_hook', dict(interval=2))
    with pytest.raises(LaunchError, match=r'default_hooks\.saver_hook has no'):
        check_config_values(cfg)
