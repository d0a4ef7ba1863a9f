"""What saves memory is the same switch in every config."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmtpr.engine import launch
from mmtpr.registry import MODELS
from mmtpr.testing import shrink_config, write_tiny_data

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
# One of each encoder, plain and adapted.
NAMES = (
    *('irra_cuhk', 'wora_cuhk', 'dora_cuhk', 'lora_cuhk', 'aptm_cuhk'),
    *('wora_aptm_cuhk', 'fafa_clip_syncpr_itcpr', 'fafa_blip2_syncpr_itcpr'),
)
FLAGS = ('grad_checkpointing', 'gradient_checkpointing')


def recomputing(model):
    return any(
        getattr(module, flag, False)
        for module in model.modules()
        for flag in FLAGS
    )


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_tiny_data(tmp_path_factory.mktemp('data'))


@pytest.mark.parametrize('name', NAMES)
def test_one_switch_turns_recomputation_on(name, data):
    if 'aptm' in name or 'blip2' in name:
        pytest.importorskip('transformers', reason='needs [blip2]')
    cfg = shrink_config(CONFIGS / f'{name}.py', data)
    assert not recomputing(MODELS.build(cfg.model))
    cfg.merge_from_dict({'model.encoder.grad_checkpointing': True})
    assert recomputing(MODELS.build(cfg.model))


@pytest.mark.parametrize('name', ['aptm_cuhk', 'wora_aptm_cuhk'])
def test_a_gpu_of_24_gb_sees_the_batch_of_eight(name, monkeypatch):
    """The same recipe: batch, rate, epochs, and pairs that ITM draws from."""
    for variable in ('WORLD_SIZE', 'SLURM_NTASKS', 'OMPI_COMM_WORLD_SIZE'):
        monkeypatch.delenv(variable, raising=False)
    eight, one = (
        Config.fromfile(CONFIGS / f'{name}{end}.py').to_dict()
        for end in ('', '_24gb')
    )
    size, parts = (
        one['train_dataloader']['batch_size'],
        one['model'].pop('accumulate'),
    )
    assert one['model']['encoder'].pop('grad_checkpointing')
    assert size == one['auto_scale_lr']['base_batch_size']
    assert size // parts == eight['train_dataloader']['batch_size']
    one['train_dataloader']['batch_size'] = size // parts
    assert one == eight


def test_the_rate_stays_with_auto_scale_lr(monkeypatch):
    for variable in ('WORLD_SIZE', 'SLURM_NTASKS', 'OMPI_COMM_WORLD_SIZE'):
        monkeypatch.delenv(variable, raising=False)
    cfg = Config.fromfile(CONFIGS / 'wora_aptm_cuhk_24gb.py')
    launch.enable_auto_scale_lr(cfg)
    batch = cfg.train_dataloader.batch_size
    assert batch / cfg.auto_scale_lr.base_batch_size == 1


def test_it_trains_in_parts(data, tmp_path):
    pytest.importorskip('transformers', reason='needs [blip2]')
    cfg = shrink_config(CONFIGS / 'wora_aptm_cuhk_24gb.py', data)
    cfg.model.encoder.grad_checkpointing = True
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    assert model.accumulate == 8
    assert recomputing(model)
