from pathlib import Path

import mmengine.runner.runner as runner_module
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from toy_parts import toy_config

from mmtpr.engine import AtomicCheckpointHook
from mmtpr.engine.resume import find_resume_checkpoint


def files(folder):
    return sorted(p.name for p in Path(folder).glob('*.pth'))


def test_outdated_files_go_after_the_new_one_is_there(tmp_path, monkeypatch):
    seen = []
    save = runner_module.save_checkpoint

    def record(checkpoint, filename, *args, **kwargs):
        before = files(tmp_path)
        save(checkpoint, filename, *args, **kwargs)
        seen.append((Path(filename).name, before))

    monkeypatch.setattr(runner_module, 'save_checkpoint', record)
    runner = Runner.from_cfg(Config(toy_config(tmp_path)))
    # three validations, each better than the one before
    scores = iter([1.0, 2.0, 3.0])
    metric = runner.val_evaluator.metrics[0]
    metric.compute_metrics = lambda results: dict(mean=next(scores))
    runner.train()

    assert files(tmp_path) == ['best_toy_mean_epoch_3.pth', 'epoch_3.pth']
    for epoch in (2, 3):
        last, best = (
            f'epoch_{epoch - 1}.pth',
            f'best_toy_mean_epoch_{epoch - 1}.pth',
        )
        saved = dict(reversed(seen))
        assert last in saved[f'epoch_{epoch}.pth']
        assert best in saved[f'best_toy_mean_epoch_{epoch}.pth']
    assert len(seen) == 9  # last, best, last with the news of the best


def test_a_kill_while_writing_leaves_the_former_file(tmp_path, monkeypatch):
    cfg = toy_config(tmp_path, val_cfg=None)
    cfg.update(val_dataloader=None, val_evaluator=None)
    runner = Runner.from_cfg(Config(cfg))

    import mmtpr.utils.atomic as io

    replace, count = io.os.replace, iter(range(9))

    def die_at_the_second(source, target):
        if next(count) == 1:
            raise SystemExit('killed')
        replace(source, target)

    # kill -9 runs no clean-up
    monkeypatch.setattr(io.os, 'replace', die_at_the_second)
    monkeypatch.setattr(io.os, 'unlink', lambda path: None)
    with pytest.raises(SystemExit):
        runner.train()
    monkeypatch.undo()

    assert files(tmp_path) == ['epoch_1.pth']
    assert list(tmp_path.glob('.epoch_2.pth.*'))
    last = find_resume_checkpoint(tmp_path)
    assert last.endswith('epoch_1.pth')
    torch.load(last, weights_only=True)

    cfg.update(experiment_name='again', resume=True, load_from=last)
    Runner.from_cfg(Config(cfg)).train()
    assert files(tmp_path) == ['epoch_3.pth']
    assert not list(tmp_path.glob('.epoch_2.pth.*'))


def test_other_storage_is_left_alone(tmp_path):
    cfg = toy_config(tmp_path / 'work')
    cfg['train_cfg']['max_epochs'] = 1
    cfg['default_hooks']['checkpoint'].update(
        out_dir=str(tmp_path / 'out'), backend_args=dict(backend='local')
    )
    runner = Runner.from_cfg(Config(cfg))
    runner.train()
    assert (tmp_path / 'out/work/epoch_1.pth').is_file()
    hook = next(h for h in runner.hooks if hasattr(h, 'backend_args'))
    assert hook.backend_args == dict(backend='local')
    found = find_resume_checkpoint(tmp_path / 'work')
    assert found == str(tmp_path / 'out/work/epoch_1.pth')


def test_save_best_of_an_unknown_number(tmp_path):
    cfg = toy_config(tmp_path)
    cfg['default_hooks']['checkpoint']['save_best'] = 'mAP'
    runner = Runner.from_cfg(Config(cfg))
    with pytest.raises(KeyError, match=r"save_best='mAP'.*\['toy/mean'\]"):
        runner.train()
    assert files(tmp_path) == ['epoch_1.pth']


def test_an_argument_that_nothing_takes_stops_at_once():
    with pytest.raises(TypeError, match=r'"save_bets"; meant: save_best'):
        AtomicCheckpointHook(save_bets='mAP')
    AtomicCheckpointHook(interval=2, save_best='mAP', max_keep_ckpts=3)


def test_a_validation_alone_saves_nothing(tmp_path):
    cfg = toy_config(tmp_path)
    runner = Runner.from_cfg(Config(cfg))
    assert 'toy/mean' in runner.val()
    assert not [*tmp_path.glob('*.pth')]
