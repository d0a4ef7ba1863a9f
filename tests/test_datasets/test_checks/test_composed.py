"""tools/dataset_checks on SynCPR and ITCPR."""

import json

import mmcv
import numpy as np
import pytest
from mmengine.config import Config

from mmtpr.datasets.checks.text_person import check_config, count_problems


@pytest.fixture
def root(tmp_path):
    """Three triplets and three queries, with something wrong in each file."""
    triplets = [
        dict(
            reference_image_path='a.jpg',
            target_image_path=target,
            edit_caption=caption,
            cpr_id=i // 2,
        )
        for i, (target, caption) in enumerate(
            [('b.jpg', 'in red'), ('gone.jpg', 'in red'), ('a.jpg', ' ')]
        )
    ]
    queries = [
        dict(file_path='a.jpg', instance_id=i, caption=caption)
        for i, caption in enumerate(['in red', 'in blue', ''])
    ]
    gallery = [
        dict(file_path=path, instance_id=i)
        for path, i in (('b.jpg', 0), ('b.jpg', -1), ('text.jpg', -1))
    ]
    for name, records in (
        ('SynCPR', triplets),
        ('query', queries),
        ('gallery', gallery),
    ):
        (tmp_path / f'{name}.json').write_text(json.dumps(records))
    for name in 'ab':
        image = np.zeros((8, 4, 3), np.uint8)
        mmcv.imwrite(image, str(tmp_path / f'{name}.jpg'))
    (tmp_path / 'text.jpg').write_text('no image')
    return str(tmp_path)


@pytest.fixture
def config(root, repo_root):
    """The published config; only the data roots differ."""
    cfg = Config.fromfile(repo_root / 'configs/fafa_clip_syncpr_itcpr.py')
    for name in ('train', 'val', 'test'):
        cfg[f'{name}_dataloader'].dataset.data_root = root
    return cfg


def numbers(split):
    return {
        name: value['number']
        for name, value in split.items()
        if isinstance(value, dict) and 'number' in value and value['number']
    }


def test_findings_of_the_fafa_config(config, root):
    report = check_config(config)
    train, test = report['splits']  # train and val are of one file
    assert (train['dataset'], train['split']) == ('SynCPR', 'train, val')
    assert train['source'] == f'{root}/SynCPR.json'
    assert train['found'] == dict(images=3, triplets=2, groups=1)
    assert train['published']['triplets'] == 1_153_220
    assert numbers(train) == dict(missing_images=1, empty_captions=1)
    assert train['missing_images']['examples'] == [f'{root}/gone.jpg']
    assert test['found'] == dict(images=3, queries=2, gallery=3, distractors=2)
    assert numbers(test) == dict(
        unreadable_images=1,
        empty_captions=1,
        missing_targets=1,
        repeated_paths=1,
    )
    assert test['missing_targets']['examples'] == ['a.jpg: instance_id 1']
    assert report['skipped'] == []
    # Repeated paths are no error; five counts differ from the published.
    assert count_problems(report, ignore_counts=True) == 5
    assert count_problems(report) == 5 + 5


def test_without_decoding_missing_images_are_found(config, monkeypatch):
    monkeypatch.setattr('mmtpr.datasets.checks.composed.find_bad_images', None)
    train, test = check_config(config, images=False)['splits']
    assert numbers(train)['missing_images'] == 1
    assert 'unreadable_images' not in numbers(test)
    (only,) = check_config(config, ['test'], images=False)['splits']
    assert only['dataset'] == 'ITCPR'


def test_the_tool_prints_them(config, tmp_path, repo_root, capsys):
    import importlib.util

    path = repo_root / 'tools/dataset_checks/check_dataset.py'
    spec = importlib.util.spec_from_file_location('check_composed', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    config.dump(str(tmp_path / 'config.py'))
    arguments = [str(tmp_path / 'config.py'), '--strict', '--ignore-counts']
    assert tool.main(arguments) == 1
    text = capsys.readouterr().out
    assert 'SynCPR train, val' in text
    assert 'published    1,153,220  differs' in text
    assert (
        'missing targets                      1\n      a.jpg: instance' in text
    )
    assert '5 problems found.' in text
