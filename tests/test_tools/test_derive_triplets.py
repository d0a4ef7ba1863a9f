"""The tool that derives triplets, and training on what it writes."""

import importlib.util
import json
import sys

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mmtpr.datasets import ITCPR, SynCPR
from mmtpr.testing import shrink_config, write_tiny_cuhk


@pytest.fixture
def derive(repo_root, monkeypatch):
    path = repo_root / 'tools/dataset_converters/derive_triplets.py'
    spec = importlib.util.spec_from_file_location('derive_triplets', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)

    def run(*arguments):
        words = [str(word) for word in arguments]
        monkeypatch.setattr(sys, 'argv', ['derive_triplets.py', *words])
        tool.main()

    return run


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return write_tiny_cuhk(tmp_path_factory.mktemp('data'), num_ids=(12, 4, 8))


def test_triplets_load_as_syncpr(derive, root, tmp_path, capsys):
    out = tmp_path / 'mine/SynCPR.json'
    derive(root / 'reid_raw.json', '--out', out, '--prefix', 'imgs/')
    triplets = json.loads(out.read_text())
    assert f'{len(triplets)} records' in capsys.readouterr().out
    data = SynCPR(
        str(out), data_prefix=dict(img_path=str(root)), broken_images='skip'
    )
    assert len(data) == len(triplets) > 20
    assert data.load_report['broken_images'] == []
    sample = data[0]
    assert '/imgs/train/' in sample['img_path']
    assert sample['reference_path'] != sample['img_path']


def test_queries_load_as_itcpr(derive, root, tmp_path):
    derive(
        *(root / 'reid_raw.json', '--split', 'test', '--queries'),
        *('--out', tmp_path, '--prefix', 'imgs/'),
    )
    data = ITCPR(
        str(tmp_path),
        data_prefix=dict(img_path=str(root)),
        broken_images='skip',
    )
    assert data.metainfo['num_gallery'] == 16
    assert data.metainfo['num_queries'] > 4
    assert not any(data.load_report.values())


def test_errors_are_one_line(derive, root, tmp_path):
    with pytest.raises(SystemExit, match=r'error: .*nowhere.json'):
        derive(tmp_path / 'nowhere.json', '--out', tmp_path / 'a.json')
    with pytest.raises(SystemExit, match=r"split='dev' .* must be one of"):
        derive(root / 'reid_raw.json', '--split', 'dev', '--out', 'a.json')
    with pytest.raises(SystemExit, match='no two differ in so little'):
        derive(
            *(root / 'reid_raw.json', '--same-person'),
            *('--out', tmp_path / 'a.json'),
        )
    assert not (tmp_path / 'a.json').exists()


def test_light_fafa_trains_on_real_images(
    derive, market_dir, repo_root, tmp_path
):
    annotations = market_dir / 'reid_raw.json'
    derive(annotations, '--out', tmp_path / 'SynCPR.json')
    derive(annotations, '--split', 'val', '--queries', '--out', tmp_path)
    cfg = shrink_config(
        Config.fromfile(repo_root / 'configs/fafa_clip_syncpr_itcpr.py'),
        tmp_path,
        image_size=(128, 64),
    )
    images = dict(img_path=str(market_dir / 'imgs'))
    train = cfg.train_dataloader.dataset
    train.update(data_root=str(tmp_path), data_prefix=images, val_ids=0)
    train.indices = 32
    val = dict(cfg.test_dataloader.dataset, data_root=str(tmp_path))
    cfg.val_dataloader.dataset = dict(val, data_prefix=images)
    published = dict(
        data_root=str(market_dir),
        query_file='cpr_query.json',
        gallery_file='cpr_gallery.json',
        data_prefix=images,
    )
    cfg.test_dataloader.dataset.update(published)
    cfg.test_dataloader.batch_size = 64
    cfg.val_dataloader.batch_size = 64
    cfg.work_dir = str(tmp_path / 'work')
    cfg.visualizer.vis_backends = [dict(type='LocalVisBackend')]
    cfg.experiment_name = 'market_composed'
    runner = Runner.from_cfg(cfg)
    assert len(runner.train_dataloader.dataset) == 32
    runner.train()
    assert runner.iter >= 4
    found = runner.test()
    assert {'R@1', 'image/R@1', 'text/R@1', 'sum/R@1'} <= set(found)
    assert len(runner.test_dataloader.dataset) == 132 + 1068


def test_what_is_there_stays_and_what_is_read_always(derive, root, tmp_path):
    out = tmp_path / 'SynCPR.json'
    out.write_text('mine')
    words = (root / 'reid_raw.json', '--out')
    with pytest.raises(SystemExit, match=r'exists already; --overwrite'):
        derive(*words, out)
    assert out.read_text() == 'mine'
    derive(*words, out, '--overwrite')
    assert json.loads(out.read_text())
    (tmp_path / 'gallery.json').write_text('mine')
    with pytest.raises(SystemExit, match=r'gallery.json" exists already'):
        derive(*words, tmp_path, '--queries')
    before = (root / 'reid_raw.json').read_bytes()
    with pytest.raises(SystemExit, match='is read and would be written over'):
        derive(*words, root / 'reid_raw.json', '--overwrite')
    assert (root / 'reid_raw.json').read_bytes() == before


@pytest.mark.parametrize(
    ('words', 'match'),
    [
        (('--queries', '--per-pair', 1), '--per-pair is of triplets'),
        (('--per-look', 0), '0 is less than 1'),
    ],
)
def test_options_that_do_not_fit(derive, root, tmp_path, capsys, words, match):
    with pytest.raises(SystemExit):
        derive(root / 'reid_raw.json', '--out', tmp_path / 'x', *words)
    assert match in capsys.readouterr().err
