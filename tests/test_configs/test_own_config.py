"""The config of docs/user_guides/own_data.md, as it stands there."""

import re

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mmtpr.testing import shrink_config, write_tiny_data
from mmtpr.utils.config_file import read_config


@pytest.fixture
def own(repo_root, tmp_path):
    page = repo_root / 'docs/user_guides/own_data.md'
    (code,) = re.findall(
        r'```python\n(.*?)```', page.read_text(encoding='utf-8'), re.S
    )
    path = tmp_path / 'own.py'
    path.write_text(code.replace("['configs/", f"['{repo_root}/configs/"))
    return read_config(str(path))


def test_nothing_of_the_base_is_left_where_it_was_replaced(own):
    for name in ('train', 'val', 'test'):
        dataset = own[f'{name}_dataloader'].dataset
        assert dataset.type == 'mmtpr.CUHKPEDES'
        assert dataset.split == name
        assert dataset.data_root == 'data/own'
        assert 'scores' not in dataset
        assert 'dataset' not in dataset
    assert own.model.encoder.type == 'mmtpr.WoRAModel'
    assert own.model.encoder.module.image_size == (256, 128)
    assert own.model.losses.id.num_classes == 409
    assert 'sdm' in own.model.losses
    assert own.train_cfg.max_epochs == own.param_scheduler[-1].end == 20


def test_it_trains(own, tmp_path):
    write_tiny_data(tmp_path / 'data')
    cfg = shrink_config(own, tmp_path / 'data', (32, 16))
    cfg.work_dir = str(tmp_path / 'work')
    runner = Runner.from_cfg(Config(cfg.to_dict()))
    runner.train()
    assert runner.iter > 0
    assert list((tmp_path / 'work').glob('best_mAP_*.pth'))
