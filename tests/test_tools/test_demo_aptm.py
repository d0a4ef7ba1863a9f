"""The demo of the cross-modal model: its table, and a run on little data."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import demo_aptm as demo
import pytest
import torch
from mmengine.config import Config

pytest.importorskip(
    'transformers', reason='BERT needs the extra [blip2] (transformers)'
)

ROOT = Path(__file__).resolve().parents[2]
PRETRAIN = ROOT / 'configs/toy/aptm_pretrain_toy.py'
TUNED = ROOT / 'configs/wora_aptm_toy.py'


def test_tuning_starts_where_pretraining_ends():
    cfg, tuned = Config.fromfile(PRETRAIN), Config.fromfile(TUNED)
    epochs = cfg.train_cfg.max_epochs
    weights = f'work_dirs/{PRETRAIN.stem}/epoch_{epochs}.pth'
    assert cfg.pretrained_weights == weights
    assert tuned.model.encoder.module.pretrained == weights
    same = dict(tuned.model.encoder.module, pretrained=None)
    assert same == dict(cfg.model.encoder, pretrained=None)


def test_reranking_is_chosen_on_val_and_reported():
    for path in (PRETRAIN, TUNED):
        cfg = Config.fromfile(path)
        assert cfg.val_dataloader.dataset.split == 'val'
        assert cfg.test_dataloader.dataset.split == 'test'
        assert cfg.val_cfg.num_candidates == cfg.test_cfg.num_candidates
        assert cfg.val_evaluator == cfg.test_evaluator
        assert cfg.test_evaluator.type == 'mmtpr.RerankedRetrievalMetric'


def test_prompts_speak_of_the_attributes_in_their_order():
    from mmtpr.synthesis import LABEL_NAMES

    cfg = Config.fromfile(PRETRAIN)
    prompts = cfg.model.losses.attributes.prompts
    assert len(prompts) == len(LABEL_NAMES)
    for name, (no, yes) in zip(LABEL_NAMES[10:], prompts[10:], strict=True):
        assert yes == f'the person wears a {name}'
        assert no == f'the person wears no {name}'


def test_summary_reads_what_the_tools_wrote(tmp_path):
    (tmp_path / 'logs').mkdir()
    for start, name, log in ((0, 'before', 'pretrain'), (50, 'after', 'wora')):
        values = {
            row + metric: start + 10 * i + j
            for i, row in enumerate(('', 'cosine/'))
            for j, metric in enumerate(demo.METRICS)
        }
        (tmp_path / f'{name}.json').write_text(json.dumps(values))
        (tmp_path / f'logs/{log}.log').write_text(
            f'Parameters: {start + 1},000 of 99,000 train.'
        )
    text = demo.summary(tmp_path, dict(wora=3.2))
    rows = ('10.00 | 11.00 | 12.00 | 13.00', '0.00 | 1.00 | 2.00 | 3.00')
    assert f'| before tuning, by cosine | {rows[0]} | 1,000 |' in text
    assert f'| before tuning, re-ranked | {rows[1]} | 1,000 |' in text
    assert '| after WoRA, by cosine | 60.00 | 61.00 |' in text
    assert '| after WoRA, re-ranked | 50.00 | 51.00 |' in text
    assert 'Seconds: 3 (wora 3).' in text


@pytest.fixture
def small_project(tmp_path):
    """A copy of the project with little data and one epoch."""
    for folder in ('configs', 'tools'):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / 'mmtpr').symlink_to(ROOT / 'mmtpr')
    changes = [
        (
            'tools/demo.py',
            r"TOY_SIZE = '[^']*'",
            "TOY_SIZE = '--size 64 32 "
            "--train 12 --val 4 --test 5 --pretrain 20'",
        ),
    ]
    for path in (tmp_path / 'configs/toy').rglob('*.py'):
        name = path.relative_to(tmp_path)
        for pattern, text in (
            (r'batch_size=\d+', 'batch_size=16'),
            (
                r'max_epochs=\d+, val_interval=\d+',
                'max_epochs=1, val_interval=1',
            ),
            (r'(aptm_pretrain_toy/epoch)_\d+', r'\1_1'),
        ):
            changes.append((name, pattern, text))
    for name, pattern, text in changes:
        path = tmp_path / name
        path.write_text(re.sub(pattern, text, path.read_text()))
    return tmp_path


def test_whole_demo_on_little_data(small_project):
    """Every command, on data that lack BERT's words at first."""
    command = [
        *(sys.executable, 'tools/synthesis/write_toy_data.py'),
        *('--out', 'data/toy', '--size', '64', '32', '--train', '12'),
        *('--val', '4', '--test', '5', '--pretrain', '20'),
    ]
    subprocess.run(command, cwd=small_project, check=True, capture_output=True)
    (small_project / 'data/toy/vocab.txt').unlink()
    done = subprocess.run(
        [sys.executable, 'tools/demo_aptm.py'],
        cwd=small_project,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    out = small_project / 'work_dirs/demo_aptm'
    assert 'data/toy is there with the same settings' in (
        (out / 'logs/data.log').read_text()
    )
    table = (out / 'table.md').read_text()
    assert table.strip() in done.stdout
    after = json.loads((out / 'after.json').read_text())
    assert f'| after WoRA, re-ranked | {after["R@1"]:.2f} |' in table
    assert f'| after WoRA, by cosine | {after["cosine/R@1"]:.2f} |' in table
    for name in ('itc', 'itm', 'attributes'):
        assert f'loss_{name}: ' in (out / 'logs/pretrain.log').read_text()
    assert (out / 'ranking.png').stat().st_size > 10_000
    # The weights that WoRA adapts are those of pre-training.
    before = state_of(small_project / 'work_dirs/aptm_pretrain_toy')
    tuned = state_of(small_project / 'work_dirs/wora_aptm_toy')
    pairs = {
        name: name.replace('encoder.module.', 'encoder.').replace(
            '.linear.weight', '.weight'
        )
        for name in tuned
        if name.endswith('.linear.weight')
    }
    assert pairs
    for name, original in pairs.items():
        assert torch.equal(tuned[name], before[original]), name


def state_of(folder):
    path = folder / 'epoch_1.pth'
    return torch.load(path, weights_only=True)['state_dict']
