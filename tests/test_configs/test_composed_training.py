"""The configs of composed retrieval, small, through the ordinary runner."""

from pathlib import Path

import pytest
from mmengine.runner import Runner

from mmtpr.testing import shrink_config, write_tiny_data

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Images of CUHK-PEDES' layout with SynCPR and ITCPR files beside."""
    return write_tiny_data(tmp_path_factory.mktemp('data'), num_ids=(6, 2, 3))


def small(name, data, work_dir, **kwargs):
    cfg = shrink_config(ROOT / f'configs/{name}.py', data, **kwargs)
    cfg.work_dir = str(work_dir)
    cfg.visualizer.vis_backends = [dict(type='LocalVisBackend')]
    cfg.experiment_name = f'{name}_{work_dir.name}'
    return cfg


def numbers(metrics):
    return {k: v for k, v in metrics.items() if k.endswith('R@1')}


def test_light_fafa_trains_and_tests(data, tmp_path):
    runner = Runner.from_cfg(small('fafa_clip_syncpr_itcpr', data, tmp_path))
    runner.train()
    assert runner.iter == 4  # 16 triplets of 8 groups, 4 in a batch
    logged = runner.message_hub.log_scalars
    for name in ('loss_fda', 'loss_fd', 'loss_mfr', 'cut_captions'):
        assert logged[f'train/{name}'].current() >= 0
    assert list(tmp_path.glob('best_mAP_epoch_1.pth'))
    found = numbers(runner.test())
    assert sorted(found) == ['R@1', 'image/R@1', 'sum/R@1', 'text/R@1']
    assert all(0 <= value <= 100 for value in found.values())


def test_the_one_cycle_of_fafa_is_trained_as_written(data, tmp_path):
    """10 epochs; 0.2 of them warm up, iteration by iteration."""
    cfg = small(
        'fafa_clip_syncpr_itcpr',
        data,
        tmp_path,
        image_size=(32, 16),
        batch_size=2,
        keep_schedule=True,
    )
    cfg.model.target.grid = None
    cfg.model.head.topk_tokens = 1
    cfg.train_dataloader.batch_sampler.max_per_id = 1
    cfg.train_dataloader.dataset.val_ids = 0
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.default_hooks.checkpoint.update(save_best=None, interval=10)
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.epoch == 10
    assert runner.iter == 110  # 22 triplets
    rates = runner.message_hub.get_scalar('train/base_lr').data[0]
    top = cfg.optim_wrapper.optimizer.lr
    assert len(rates) == 110
    # 0.2 epochs of 11 iterations are two.
    assert rates[0] == pytest.approx(0.04 * top)
    assert rates[1] == pytest.approx(top)
    assert (rates[1:-1] >= rates[2:]).all()
    assert rates[55] == pytest.approx(top / 2, rel=0.05)
    assert rates[-1] < 0.01 * top


def test_stage_two_trains_on_its_cache_and_fuses(data, tmp_path):
    cfg = small('word4per_stage2_cuhk_itcpr', data, tmp_path)
    cfg.train_dataloader.dataset.cache = str(tmp_path / 'cache')
    cfg.train_dataloader.dataset.num_workers = 0
    runner = Runner.from_cfg(cfg)
    frozen = runner.model.encoder.clip.visual.proj.detach().clone()
    runner.train()
    assert (tmp_path / 'cache/meta.json').is_file()
    assert (runner.model.encoder.clip.visual.proj == frozen).all()
    assert runner.message_hub.log_scalars['train/loss_text'].current() > 0
    assert set(numbers(runner.test())) == {
        'R@1',
        'image/R@1',
        'text/R@1',
        'sum/R@1',
    }


def test_the_fusion_is_evaluated_beside_its_parts(data, tmp_path):
    cfg = small('word4per_fuse_itcpr', data, tmp_path)
    runner = Runner.from_cfg(cfg)
    assert {'tinet0/R@1', 'tinet1/R@1', 'R@1'} <= set(runner.test())


def test_fafa_on_blip2_trains_and_tests(data, tmp_path):
    pytest.importorskip(
        'transformers', reason='BLIP-2 needs the extra [blip2] (transformers)'
    )
    cfg = small('fafa_blip2_syncpr_itcpr', data, tmp_path)
    # As on the command line, behind --cfg-options.
    cfg.merge_from_dict(
        {
            'optim_wrapper.optimizer.lr': 1e-3,
            'default_hooks.logger.interval': 1,
            'train_dataloader.dataset.broken_images': 'skip',
            'test_dataloader.dataset.broken_images': 'skip',
        }
    )
    runner = Runner.from_cfg(cfg)
    before = {k: v.clone() for k, v in runner.model.state_dict().items()}
    runner.train()
    assert runner.iter == 4  # 16 triplets of 8 groups, 4 in a batch
    logged = runner.message_hub.log_scalars
    for name in ('loss_fda', 'loss_fd', 'loss_mfr', 'cut_captions'):
        assert logged[f'train/{name}'].current() >= 0
    assert list(tmp_path.glob('best_mAP_epoch_1.pth'))
    changed = {
        name.split('.')[2]
        for name, value in runner.model.state_dict().items()
        if name.startswith('encoder.blip2') and (before[name] != value).any()
    }
    assert {'qformer', 'text_projection', 'query_tokens'} <= changed
    towers = [k for k in before if '.vision_model.encoder.' in k]
    after = runner.model.state_dict()
    assert towers
    assert all((before[k] == after[k]).all() for k in towers)
    found = runner.test()
    assert set(found) == {'R@1', 'R@5', 'R@10', 'mAP', 'mINP'}
    assert 0 < found['mAP'] <= 100
