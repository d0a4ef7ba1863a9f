import importlib.util
import json

import pytest
from mmengine.config import Config

from mmtpr.datasets import CUHKPEDES
from mmtpr.datasets.annotations.published_sizes import PUBLISHED
from mmtpr.datasets.checks.text_person import (
    check_config,
    count_differences,
    count_problems,
    datasets_of_config,
)
from mmtpr.testing import write_tiny_cuhk
from mmtpr.utils.errors import LaunchError


@pytest.fixture
def tool(repo_root):
    path = repo_root / 'tools/dataset_checks/check_dataset.py'
    spec = importlib.util.spec_from_file_location('check_dataset', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def config(root, wrap=False):
    def dataset(split):
        cfg = dict(type='mmtpr.CUHKPEDES', data_root=root, split=split)
        return cfg

    train = dataset('train')
    if wrap:
        joined = dict(type='ConcatDataset', datasets=[train, dataset('test')])
        train = dict(type='RepeatDataset', dataset=joined, times=2)
    return Config(
        dict(
            train_dataloader=dict(dataset=train),
            val_dataloader=dict(dataset=dataset('val')),
            test_dataloader=dict(dataset=dataset('test')),
        )
    )


@pytest.fixture
def messy_root(write, records):
    records[0]['captions'] = ['The same.', 'a\x07b']
    records[2]['captions'] = ['the  SAME.', 'x']
    records[4]['captions'] = ['ok', '']
    records[9]['id'] = 10  # a val image of a training person
    root = write(records)
    with open(f'{root}/imgs/cam/12_1.jpg', 'wb') as file:
        file.write(b'text')
    records[6]['file_path'] = 'cam/none.jpg'
    return write(records, key='nothing')


def test_findings(messy_root):
    report = check_config(config(messy_root))
    train, val, test = report['splits']
    assert train['found'] == dict(images=8, captions=15, pids=4)
    assert train['published'] == dict(images=34054, captions=68126, pids=11003)
    assert train['missing_images']['number'] == 1
    assert train['missing_images']['examples'][0].endswith('cam/none.jpg')
    (bad,) = train['unreadable_images']['examples']
    assert bad.endswith('12_1.jpg: does not decode')
    assert train['shared_captions']['examples'] == [
        dict(caption='the same.', pids=[10, 11])
    ]
    assert train['empty_captions']['number'] == 1
    assert train['empty_captions']['examples'] == ['cam/12_0.jpg']
    assert train['control_captions']['examples'] == ["cam/10_0.jpg: 'a\\x07b'"]
    assert test['missing_images']['number'] == 0
    assert report['overlaps'] == [
        dict(
            dataset='CUHK-PEDES',
            splits=['train', 'val'],
            number=1,
            examples=[10],
        )
    ]
    assert val['found']['pids'] == 3


def test_empty_captions_count_once_for_the_split_they_are_in(messy_root):
    report = check_config(config(messy_root))
    numbers = [s['empty_captions']['number'] for s in report['splits']]
    assert numbers == [1, 0, 0]


def test_wrappers_are_opened_and_sets_named_once(write, records):
    cfg = config(write(records), wrap=True)
    datasets, others = datasets_of_config(cfg)
    assert [d.split for d in datasets] == ['train', 'test', 'val']
    assert not others
    assert [d.split for d in datasets_of_config(cfg, ['val'])[0]] == ['val']


def test_relabelling_hides_no_overlap(write, records):
    """Labels 0..C-1 of train overlap with any other numbers by chance."""
    for record in records:
        record['id'] -= 10
    report = check_config(config(write(records)), images=False)
    assert report['overlaps'] == []


def test_other_data_sets_are_named(write, records):
    cfg = config(write(records))
    cfg.val_dataloader.dataset = dict(type='BaseDataset', ann_file='x')
    report = check_config(cfg, images=False)
    assert report['skipped'] == ['BaseDataset']
    assert len(report['splits']) == 2
    only = Config(dict(val_dataloader=cfg.val_dataloader))
    with pytest.raises(ValueError, match='no captioned dataset to check'):
        check_config(only)


def test_counts_as_published(monkeypatch, write, records):
    report = check_config(config(write(records)), images=False)
    assert count_differences(report['splits'][0]) == [
        'images',
        'captions',
        'pids',
    ]
    assert count_problems(report) == 9
    assert count_problems(report, ignore_counts=True) == 0
    right = type(PUBLISHED['CUHK-PEDES']['val'])(8, 16, None)
    monkeypatch.setitem(PUBLISHED['CUHK-PEDES'], 'train', right)
    report = check_config(config(write(records)), ['train'], images=False)
    assert count_problems(report) == 0


def test_carved_val_has_no_published_counts(write, records):
    for record in records:
        record['split'] = 'train'
    data = dict(
        type='mmtpr.ICFGPEDES', data_root=write(records, 'ICFG-PEDES.json')
    )
    cfg = Config(
        dict(
            train_dataloader=dict(dataset=dict(**data, val_pids=2)),
            val_dataloader=dict(dataset=dict(**data, val_pids=2, split='val')),
        )
    )
    report = check_config(cfg, images=False)
    assert [s['published'] for s in report['splits']] == [None, None]
    assert [s['found']['pids'] for s in report['splits']] == [6, 2]
    assert report['overlaps'] == []


def test_missing_image_folder_is_an_error(write, records, tmp_path):
    root = write(records)
    (tmp_path / 'imgs').rename(tmp_path / 'images')
    with pytest.raises(FileNotFoundError, match='imgs" of CUHKPEDES'):
        check_config(config(root))
    assert CUHKPEDES(data_root=root, data_prefix=dict(img_path='images'))


def test_tool_prints_and_writes(tool, messy_root, tmp_path, capsys):
    path = tmp_path / 'config.py'
    config('elsewhere').dump(str(path))
    options = [
        f'{name}_dataloader.dataset.data_root={messy_root}'
        for name in ('train', 'val', 'test')
    ]
    out = tmp_path / 'report.json'
    arguments = [str(path), '--json', str(out), '--cfg-options', *options]
    assert tool.main(arguments) == 0
    text = capsys.readouterr().out
    assert 'CUHK-PEDES train' in text
    assert '34,054  differs' in text
    assert "2 persons: 'the same.'" in text
    assert 'CUHK-PEDES: ids in train and val' in text
    report = json.loads(out.read_text('utf-8'))
    assert report['problems'] == 9 + 5
    assert f'{report["problems"]} problems found.' in text
    with pytest.raises(LaunchError, match=r'report\.json" exists already'):
        tool.main(arguments)
    assert tool.main([*arguments, '--strict', '--overwrite']) == 1


def test_tool_is_content_with_a_clean_set(
    tool, write, records, capsys, tmp_path
):
    path = tmp_path / 'config.py'
    config(write(records)).dump(str(path))
    arguments = [str(path), '--strict', '--ignore-counts', '--split', 'val']
    assert tool.main(arguments) == 0
    text = capsys.readouterr().out
    assert 'No identity occurs in two splits.' in text
    assert 'train' not in text.split('CUHK-PEDES val')[1]
    assert tool.main([*arguments[:2], '--no-images']) == 1


def test_counts_that_may_differ_are_no_problems(
    tool, write, records, capsys, tmp_path
):
    path = tmp_path / 'config.py'
    config(write(records)).dump(str(path))
    tool.main([str(path)])
    text = capsys.readouterr().out
    assert '9 problems found.' in text
    assert 'allowed' not in text
    out = tmp_path / 'report.json'
    tool.main([str(path), '--ignore-counts', '--json', str(out)])
    text = capsys.readouterr().out
    assert '\n0 problems found.' in text
    assert text.count('differs, allowed') == text.count('differs') == 9
    assert json.loads(out.read_text('utf-8'))['problems'] == 0


def test_tool_with_a_config_of_ours(tool, repo_root, tmp_path, capsys):
    finds_nothing(tool, repo_root, write_tiny_cuhk(tmp_path), capsys)


def test_tool_on_real_data(tool, market_dir, repo_root, capsys):
    finds_nothing(tool, repo_root, market_dir, capsys)


def finds_nothing(tool, repo_root, data_root, capsys):
    options = [
        f'{name}_dataloader.dataset.data_root={data_root}'
        for name in ('train', 'val', 'test')
    ]
    status = tool.main(
        [
            str(repo_root / 'configs/irra_cuhk.py'),
            '--strict',
            '--ignore-counts',
            '--cfg-options',
            *options,
        ]
    )
    assert status == 0
    assert '0 problems found.' in capsys.readouterr().out


def test_images_that_may_not_be_read_are_counted(
    tool, write, records, tmp_path, monkeypatch, capsys
):
    """A loop of links and a file without permission; the check goes on."""
    import builtins

    root = write(records)
    path = tmp_path / 'imgs/cam/12_1.jpg'
    path.unlink()
    path.symlink_to(path.name)
    real = builtins.open

    def refuse(file, *args, **kwargs):
        if str(file).endswith('cam/10_0.jpg'):
            raise PermissionError(13, 'Permission denied', str(file))
        return real(file, *args, **kwargs)

    monkeypatch.setattr(builtins, 'open', refuse)
    config(root).dump(str(tmp_path / 'config.py'))
    assert tool.main([str(tmp_path / 'config.py'), '--split', 'train']) == 0
    text = capsys.readouterr().out
    assert 'cam/10_0.jpg: permission denied' in text
    assert 'cam/12_1.jpg: a loop of links' in text
    train = check_config(config(root))['splits'][0]
    assert train['unreadable_images']['number'] == 2
    assert train['missing_images']['number'] == 0
