"""The composed demo: its own functions, and a whole run on little data."""

import json
import os
import subprocess
import sys
from pathlib import Path

import demo_composed as demo
import pytest
from mmengine.config import Config
from toy_project import copy_small_project, leave_encoder

ROOT = Path(__file__).resolve().parents[2]
NAMES = ('word4per_toy', 'word4per_vis_toy', 'word4per_fuse_toy', 'fafa_toy')


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project where nothing was run yet; makes what is asked for."""
    monkeypatch.setattr(demo, 'ROOT', tmp_path)

    def make(name, age):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (10_000 - age, 10_000 - age))

    return make


def names(steps):
    return [step.name for step in steps]


def test_only_what_is_missing_of_the_demo_is_run(project):
    everything = ['data', 'pretrain', 'score', 'filtered']
    assert names(demo.missing_stages(0)) == everything
    project(demo.weights('filtered_weights'), age=1)
    assert names(demo.missing_stages(0)) == everything  # no data
    project('data/toy/settings.json', age=9)
    assert names(demo.missing_stages(0)) == ['data']
    project('data/toy/settings.json', age=0)  # drawn anew
    assert names(demo.missing_stages(0)) == everything
    project(demo.weights('noisy_weights'), age=0)
    assert names(demo.missing_stages(0)) == ['data', 'score', 'filtered']
    project(demo.weights('relevance_scores'), age=0)
    assert names(demo.missing_stages(0)) == ['data', 'filtered']


def test_stages_start_from_the_encoder_of_the_demo():
    for name in NAMES:
        cfg = Config.fromfile(ROOT / f'configs/toy/{name}.py')
        expected = None if 'fuse' in name else cfg.filtered_weights
        assert cfg.model.encoder.pretrained == expected
    cached = Config.fromfile(ROOT / 'configs/toy/word4per_toy.py')
    encoder = cached.train_dataloader.dataset.encoder
    assert encoder == cached.model.encoder
    # Chosen on val, never on the test set.
    roots = [cfg_of(name).val_dataloader.dataset.data_root for name in NAMES]
    assert {root.rpartition('/')[2] for root in roots} == {'val'}


def cfg_of(name):
    return Config.fromfile(ROOT / f'configs/toy/{name}.py')


def test_summary_reads_what_the_tools_wrote(tmp_path):
    rows = ('', 'image/', 'text/', 'sum/', 'tinet0/', 'tinet1/')
    for start, name in ((0, 'word4per'), (50, 'fafa')):
        values = {
            row + metric: start + 10 * i + j
            for i, row in enumerate(rows)
            for j, metric in enumerate(demo.METRICS)
        }
        (tmp_path / f'{name}.json').write_text(json.dumps(values))
    text = demo.summary(tmp_path, dict(fafa=3.2))
    assert '| image only | 10.00 | 11.00 | 12.00 | 13.00 |' in text
    assert '| TINet, L_Vis | 50.00 | 51.00 | 52.00 | 53.00 |' in text
    assert '| TINet fusion | 0.00 | 1.00 | 2.00 | 3.00 |' in text
    assert '| light FAFA | 50.00 | 51.00 | 52.00 | 53.00 |' in text
    assert 'own encoder: image 60.00, text 70.00, sum 80.00.' in text
    assert 'Seconds: 3 (fafa 3).' in text


@pytest.fixture
def small_project(tmp_path):
    """A copy of the project with little data and small batches."""
    return copy_small_project(tmp_path)


def test_whole_demo_on_little_data(small_project):
    """Every command, with the encoder of the demo in place."""
    leave_encoder(small_project)
    command = [sys.executable, 'tools/demo_composed.py']
    done = subprocess.run(
        command, cwd=small_project, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    out = small_project / 'work_dirs/demo_composed'
    assert 'data/toy is there with the same settings' in (
        (out / 'logs/data.log').read_text()
    )
    seconds = json.loads((out / 'seconds.json').read_text())
    assert 'pretrain' not in seconds
    table = (out / 'table.md').read_text()
    assert table.strip() in done.stdout
    fafa = json.loads((out / 'fafa.json').read_text())
    assert f'| light FAFA | {fafa["R@1"]:.2f} |' in table
    fused = json.loads((out / 'word4per.json').read_text())
    assert f'| TINet, L_Vis | {fused["tinet1/R@1"]:.2f} |' in table
    # The second training finds the features of the first.
    assert 'Features are in' in (out / 'logs/tinet_vis.log').read_text()
    ranking = json.loads((out / 'ranking.json').read_text())
    assert all(q['img_path'] and q['caption'] for q in ranking['queries'])
    assert (out / 'ranking.png').stat().st_size > 10_000
