"""The demo: its own functions, and a whole run on next to no data."""

import json
import re
import subprocess
import sys
from pathlib import Path

import demo
import demo_steps
import pytest
from mmengine.config import Config
from toy_project import copy_small_project, shrink

ROOT = Path(__file__).resolve().parents[2]


def test_stages_find_the_weights_of_the_stage_before():
    """What a config loads is what the one before it leaves behind."""
    for stage, key in (
        ('pretrain_toy', 'noisy_weights'),
        ('pretrain_toy_filtered', 'filtered_weights'),
    ):
        cfg = Config.fromfile(ROOT / f'configs/toy/{stage}.py')
        last = f'work_dirs/{stage}/epoch_{cfg.train_cfg.max_epochs}.pth'
        assert cfg[key] == last
    tuned = Config.fromfile(ROOT / 'configs/wora_toy.py')
    assert tuned.model.encoder.module.pretrained == tuned.filtered_weights


def test_tuned_model_trains_text_and_adapts_images():
    from mmtpr.registry import MODELS

    cfg = Config.fromfile(ROOT / 'configs/wora_toy.py')
    cfg.model.encoder.module.pretrained = None
    model = MODELS.build(cfg.model)
    free = {n for n, p in model.named_parameters() if p.requires_grad}
    text = {n for n, _ in model.named_parameters() if '.transformer.' in n}
    text = {n for n in text if '.visual.' not in n}
    assert text
    assert text <= free
    assert sum('lora_A' in name for name in free) == 6 * sum(
        name.endswith('mlp.c_fc.lora_A') for name in free
    )


def test_a_failing_step_shows_its_output_and_stops(tmp_path, capsys):
    script = tmp_path / 'fail.py'
    script.write_text("print('about to'); raise RuntimeError('broken')")
    run = demo_steps.Demo(out=tmp_path)
    with pytest.raises(SystemExit, match=r'its output is in .*fail\.log'):
        run.run(demo_steps.Step('fail', 'Fail', str(script)))
    printed = capsys.readouterr().out
    assert f'$ python {script}' in printed
    assert 'RuntimeError: broken' in printed
    assert 'about to' in (tmp_path / 'logs/fail.log').read_text()


def test_summary_reads_what_the_tools_wrote(tmp_path):
    (tmp_path / 'logs').mkdir()
    (tmp_path / 'relevance').mkdir()
    for name, base in (('before', 10), ('after', 50)):
        values = {m: base + i for i, m in enumerate(demo.METRICS)}
        (tmp_path / f'{name}.json').write_text(json.dumps(values))
    (tmp_path / 'logs/filtered.log').write_text(
        'Parameters: 1,234 of 1,234 train\nkept 790 of 1000 pairs'
    )
    (tmp_path / 'logs/wora.log').write_text('Parameters: 99 of 1,333 train')
    auc = {
        k: dict(pairs=7, rank=0.5 + i / 10) for i, k in enumerate(demo.KINDS)
    }
    (tmp_path / 'relevance/report.json').write_text(json.dumps(dict(auc=auc)))
    text = demo.summary(tmp_path, dict(data=3.2, wora=4.1))
    assert '| before tuning | 10.00 | 11.00 | 12.00 | 13.00 | 1,234 |' in text
    assert '| after WoRA | 50.00 | 51.00 | 52.00 | 53.00 | 99 |' in text
    assert '| three attributes wrong | 7 | 0.600 |' in text
    assert 'Kept share: 79.0 %' in text
    assert 'Seconds: 7 (data 3, wora 4).' in text


def test_best_checkpoint_is_the_newest(tmp_path, monkeypatch):
    import os

    monkeypatch.setattr(demo_steps, 'ROOT', tmp_path)
    with pytest.raises(FileNotFoundError, match=r'No best_\*\.pth in "runs"'):
        demo_steps.best_checkpoint(Path('runs'))
    (tmp_path / 'runs').mkdir()
    for age, name in enumerate(('best_mAP_epoch_4', 'best_mAP_epoch_12')):
        path = tmp_path / 'runs' / f'{name}.pth'
        path.touch()
        os.utime(path, (1000 - age, 1000 - age))
    assert (
        demo_steps.best_checkpoint(Path('runs')) == 'runs/best_mAP_epoch_4.pth'
    )


def test_whole_demo_on_little_data(tmp_path):
    """Every command of the demo, with one epoch on a handful of people."""
    copy_small_project(tmp_path)
    shrink(tmp_path / 'tools/demo.py', r'--pretrain \d+', '--pretrain 90')
    shrink(tmp_path / 'tools/demo.py', r'--bank-size \d+', '--bank-size 60')
    for path in tmp_path.glob('configs/toy/_base_/*.py'):
        text = re.sub(r'epoch_\d+\.pth', 'epoch_1.pth', path.read_text())
        path.write_text(text)
    command = [sys.executable, 'tools/demo.py']
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    out = tmp_path / 'work_dirs/demo'
    table = (out / 'table.md').read_text()
    assert table.strip() in done.stdout
    assert re.search(r'\| after WoRA \| [\d.]+ \|', table)
    assert re.search(r"another person's caption \| 9 \| 0\.\d{3}", table)
    assert 'Kept share: 78.9 %' in table
    assert (out / 'ranking.png').stat().st_size > 10_000
    after = json.loads((out / 'after.json').read_text())
    assert f'{after["R@1"]:.2f}' in table
