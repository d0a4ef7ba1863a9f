"""The commands of the guide lead from the engine's output to a training."""

import argparse
import re
import shlex

import pytest
from judged_run import judged_run

from mmtpr.data_engine.assemble import Assembly, assemble
from mmtpr.datasets.samplers import GroupBatchSampler
from mmtpr.engine import launch
from mmtpr.registry import DATA_SAMPLERS, DATASETS
from mmtpr.utils.options import add_config_options

PAGE = 'docs/user_guides/data_engine.md'


@pytest.fixture
def trained(repo_root, tmp_path):
    """Config of the guide's training, on toy output, and the report."""
    write, render, judges = judged_run(tmp_path, num=60, faulty=False)
    report = assemble(
        Assembly([dict(field='vlm.same', min=1)]),
        write,
        render,
        judges,
        tmp_path / 'assembled',
    )
    text = (repo_root / PAGE).read_text(encoding='utf-8')
    (command,) = re.findall(
        r'^python tools/train\.py (.*?[^\\])$', text, re.MULTILINE | re.DOTALL
    )
    command = command.replace('$PWD/runs/syncpr', str(tmp_path))
    parser = argparse.ArgumentParser()
    parser.add_argument('config')
    parser.add_argument('--amp', action='store_true')
    add_config_options(parser)
    args = parser.parse_args(shlex.split(command.replace('\\\n', ' ')))
    cfg = launch.load_config(args.config, args.cfg_options, repo_root)
    return cfg, report['triplets']


def test_a_run_of_a_hundred_records_trains_and_validates(trained):
    """Without the published data: all of train, and the val that was cut."""
    cfg, counts = trained
    train = DATASETS.build(cfg.train_dataloader.dataset)
    assert len(train) == counts['train'] > 0
    assert train.metainfo['num_pids'] == counts['train_groups']
    assert train[0]['inputs']['reference'].shape == (3, 384, 128)
    sampler = DATA_SAMPLERS.build(
        dict(
            cfg.train_dataloader.batch_sampler,
            sampler=DATA_SAMPLERS.build(
                dict(cfg.train_dataloader.sampler, dataset=train)
            ),
            batch_size=cfg.train_dataloader.batch_size,
        )
    )
    assert isinstance(sampler, GroupBatchSampler)
    assert len(next(iter(sampler))) == cfg.train_dataloader.batch_size

    val = DATASETS.build(cfg.val_dataloader.dataset)
    roles = [val.get_data_info(i)['role'] for i in range(len(val))]
    assert roles.count('query') == counts['val'] > 0
    assert val.metainfo['num_pids'] == counts['val_groups']
    assert val[0]['inputs']['image'].shape == (3, 384, 128)
