"""The table of corrupted queries on shrunk real configs."""

import importlib.util
import json
import sys

import pytest
import torch

from mmtpr.engine.robustness import (
    choose_kinds,
    corrupted_config,
    keep_apart,
    robustness_table,
)
from mmtpr.registry import MODELS
from mmtpr.testing import shrink_config, write_tiny_data
from mmtpr.utils.errors import LaunchError


@pytest.fixture(scope='module')
def place(tmp_path_factory, repo_root):
    folder = tmp_path_factory.mktemp('robustness')
    write_tiny_data(folder / 'data')
    for name in ('fafa_clip_syncpr_itcpr', 'irra_cuhk'):
        path = repo_root / f'configs/{name}.py'
        cfg = shrink_config(path, folder / 'data')
        cfg.load_from = cfg.visualizer = None
        cfg.dump(folder / f'{name}.py')
        torch.manual_seed(0)
        model = MODELS.build(cfg.model)
        torch.save(dict(state_dict=model.state_dict()), folder / f'{name}.pth')
        del model
    return folder


@pytest.fixture
def tool(repo_root, monkeypatch, capsys):
    path = repo_root / 'tools/analysis/robustness_table.py'
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def call(*words):
        words = [path.name, *map(str, words)]
        monkeypatch.setattr(sys, 'argv', words)
        module.main()
        return capsys.readouterr().out

    call.module = module
    return call


def test_a_table_that_goes_on_where_it_was_killed(tool, place, monkeypatch):
    name = 'fafa_clip_syncpr_itcpr'
    out = place / 'out'
    words = (place / f'{name}.py', place / f'{name}.pth', out)
    words += ('--severities', 1, 3, '--kinds', 'noise', 'typos')
    built, build = [], tool.module.launch.build_runner

    def few(cfg):
        if len(built) == 2:
            raise KeyboardInterrupt
        built.append(cfg)
        return build(cfg)

    monkeypatch.setattr(tool.module.launch, 'build_runner', few)
    with pytest.raises(KeyboardInterrupt):
        tool(*words)
    assert not (out / 'table.md').exists()

    def rest(cfg):
        built.append(cfg)
        return build(cfg)

    monkeypatch.setattr(tool.module.launch, 'build_runner', rest)
    told = tool(*words)
    assert len(built) == 5  # clean and four others, each once
    results = json.loads((out / 'table.json').read_text())
    wanted = ['clean', 'noise_1', 'noise_3', 'typos_1', 'typos_3']
    assert list(results) == wanted
    row = f'| clean | | {results["clean"]["R@1"]:.2f} |'
    assert row in (out / 'table.md').read_text()
    assert row in told
    assert tool(*words).endswith((out / 'table.md').read_text())
    assert len(built) == 5
    with pytest.raises(SystemExit, match='begun with other settings'):
        tool(*words, '--seed', 1)
    with pytest.raises(SystemExit, match='The metric gives no R@7'):
        tool(*words, '--metrics', 'R@7')


def test_sentences_alone_have_no_image_to_corrupt(tool, place):
    words = (place / 'irra_cuhk.py', place / 'irra_cuhk.pth', place / 'text')
    with pytest.raises(SystemExit, match='blur would change nothing'):
        tool(*words, '--kinds', 'blur')
    cfg = shrink_config(place / 'irra_cuhk.py', place / 'data')
    assert choose_kinds(cfg, None) == ['typos']


def test_adapters_around_a_model_hide_no_images(place):
    cfg = shrink_config(place / 'fafa_clip_syncpr_itcpr.py', place / 'data')
    cfg.model = dict(type='mmtpr.AdapterModel', module=cfg.model)
    assert choose_kinds(cfg, None) == ['noise', 'blur', 'jpeg', 'typos']


def test_files_of_metrics_are_kept_apart(place, tmp_path):
    cfg = shrink_config(place / 'irra_cuhk.py', place / 'data')
    cfg.test_evaluator.save_scores = 'work_dirs/scores.npz'
    keep_apart(cfg, tmp_path, 'blur_1')
    found = cfg.test_evaluator.save_scores
    assert found == str(tmp_path / 'blur_1_scores.npz')
    cfg.test_evaluator = [dict(save_ranking='a/ranking.json')]
    keep_apart(cfg, tmp_path, 'clean')
    found = cfg.test_evaluator[0].save_ranking
    assert found == str(tmp_path / 'clean_ranking.json')


def test_corruptions_have_their_place(place):
    name = place / 'fafa_clip_syncpr_itcpr.py'
    cfg = shrink_config(name, place / 'data')
    assert choose_kinds(cfg, None) == ['noise', 'blur', 'jpeg', 'typos']
    before = cfg.pretty_text
    pipeline = corrupted_config(
        cfg, 'blur', 2
    ).test_dataloader.dataset.pipeline
    inner = [step['type'].split('.')[-1] for step in pipeline[0].transforms]
    at = inner.index('CorruptQuery')
    assert 'LoadImage' in inner[at - 1]
    pipeline = corrupted_config(
        cfg, 'typos', 2
    ).test_dataloader.dataset.pipeline
    assert pipeline[0]['type'] == 'mmtpr.CorruptQuery'
    assert cfg.pretty_text == before
    cfg.test_dataloader.dataset.pipeline = (
        cfg.test_dataloader.dataset.pipeline[1:]
    )
    with pytest.raises(LaunchError, match='no pipeline in which blur'):
        corrupted_config(cfg, 'blur', 2)


def test_the_difference_from_clean_queries_stands_beside():
    results = dict(clean=dict(a=50.0), blur_1=dict(a=48.5))
    table = robustness_table(results, ['blur'], [1], ['a'])
    assert table.splitlines()[-1] == '| blur | 1 | 48.50 (-1.50) |'
