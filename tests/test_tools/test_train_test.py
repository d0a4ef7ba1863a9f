"""The tools on a shrunk real config: train, kill, resume, test, processes."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from toy_parts import toy_config

from mmtpr.testing import shrink_config, write_tiny_data

ROOT = Path(__file__).resolve().parents[2]
TOY_PARTS = ROOT / 'tests/helpers'


def start(*args, cwd, env=None):
    """Start a tool without GPUs; output goes to a file in ``cwd``."""
    paths = f'{TOY_PARTS}{os.pathsep}{os.environ.get("PYTHONPATH", "")}'
    env = dict(
        os.environ,
        CUDA_VISIBLE_DEVICES='',
        OMP_NUM_THREADS='1',
        PYTHON=sys.executable,
        PYTHONPATH=paths,
        **(env or {}),
    )
    command = [sys.executable] if args[0].suffix == '.py' else ['bash']
    command += [str(arg) for arg in args]
    log = cwd / f'log_{len(list(cwd.glob("log_*")))}.txt'
    with log.open('w') as file:
        process = subprocess.Popen(
            command, cwd=cwd, env=env, stdout=file, stderr=subprocess.STDOUT
        )
    process.log = log
    return process


def finish(process, code=0):
    """Wait for a tool, check its exit code and return its output."""
    try:
        process.wait()
    finally:  # of a test that has run out of its time
        process.kill()
    text = process.log.read_text()
    assert process.returncode == code, text[-3000:]
    return text


# How torchrun itself takes a port that is free, instead of PORT.
OWN_PORT = dict(PET_STANDALONE='1', PET_LOCAL_ADDR='127.0.0.1')


def write_config(folder, data, name, **kwargs):
    """configs/wora_cuhk.py, small, with dropout and averaging."""
    cfg = shrink_config(ROOT / 'configs/wora_cuhk.py', data)
    cfg.train_cfg.max_epochs = 3
    cfg.train_dataloader.num_workers = 2
    cfg.model.encoder.drop_rate = 0.1
    cfg.custom_hooks = [dict(type='EMAHook', momentum=0.1)]
    cfg.merge_from_dict(kwargs)
    path = folder / name
    cfg.dump(str(path))
    return path


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    """A run that is left alone and one that is killed and resumed."""
    folder = tmp_path_factory.mktemp('tools')
    data = write_tiny_data(folder / 'data')
    config = write_config(folder, data, 'tiny.py')
    kill = Config.fromfile(str(config))
    kill.custom_imports = dict(imports=['toy_parts'])
    kill.custom_hooks.append(dict(type='KillHook', at=16, how='kill'))
    kill.dump(str(folder / 'kill.py'))
    train = ROOT / 'tools/train.py'
    both = [
        start(train, config, '--work-dir', 'whole', cwd=folder),
        start(train, 'kill.py', '--work-dir', 'killed', cwd=folder),
    ]
    finish(both[0])
    finish(both[1], code=-9)
    left = sorted(p.name for p in (folder / 'killed').glob('epoch_*.pth'))
    resumed = start(
        train, config, '--work-dir', 'killed', '--resume', cwd=folder
    )
    return dict(
        folder=folder,
        data=data,
        config=config,
        left=left,
        resumed=finish(resumed),
        whole=both[0].log.read_text(),
    )


def load(path):
    return torch.load(path, weights_only=True)


def assert_same(a, b, where=''):
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert list(a) == list(b), where
        for key in a:
            assert_same(a[key], b[key], f'{where}.{key}')
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for i, pair in enumerate(zip(a, b, strict=True)):
            assert_same(*pair, f'{where}.{i}')
    else:
        assert a == b, where


def test_killed_and_resumed_equals_never_killed(runs):
    folder = runs['folder']
    # killed in the middle of the third epoch of six iterations
    assert runs['left'] == ['epoch_1.pth', 'epoch_2.pth']
    assert 'resumed epoch: 2, iter: 12' in runs['resumed']
    whole, resumed = (
        load(folder / run / 'epoch_3.pth') for run in ('whole', 'killed')
    )
    assert whole['meta']['iter'] == resumed['meta']['iter'] == 18
    keys = ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers')
    for key in keys:
        assert_same(whole[key], resumed[key], key)
    for key in ('best_score', 'epoch', 'iter'):
        values = [
            c['message_hub']['runtime_info'][key] for c in (whole, resumed)
        ]
        assert values[0] == values[1], key
    adapter = [
        load(folder / run / 'adapter_epoch_3.pth')['state_dict']
        for run in ('whole', 'killed')
    ]
    assert_same(*adapter)


def test_what_a_run_leaves_and_says(runs):
    folder = runs['folder'] / 'whole'
    assert list(folder.glob('best_mAP_epoch_*.pth'))
    assert (folder / 'adapter_best.pth').is_file()
    assert list(folder.glob('*/vis_data/events.out.tfevents.*'))
    (log,) = folder.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert any('R@1' in line for line in lines)
    assert 'Parameters: ' in runs['whole']
    assert 'adapted weights' in runs['whole']


@pytest.mark.dist
def test_one_and_two_processes_test_alike(runs):
    """On uneven kernels."""
    folder = runs['folder']
    cfg = Config.fromfile(str(runs['config']))
    cfg.custom_imports = dict(imports=['uneven_retriever'])
    cfg.model.type = 'UnevenRetriever'
    config = folder / 'uneven.py'
    cfg.dump(str(config))
    (best,) = (folder / 'whole').glob('best_mAP_epoch_*.pth')
    saved = 'test_evaluator.save_ranking'
    one = start(
        ROOT / 'tools/test.py',
        *(config, best, '--work-dir', 'test1', '--out', 'one.json'),
        *('--cfg-options', f'{saved}=ranking_one.json'),
        cwd=folder,
    )
    two = start(
        ROOT / 'tools/dist_test.sh',
        *(config, best, 2, '--work-dir', 'test2', '--out', 'two.json'),
        *('--cfg-options', f'{saved}=ranking_two.json'),
        cwd=folder,
        env=OWN_PORT,
    )
    finish(one), finish(two)
    one, two = (
        json.loads((folder / name).read_text())
        for name in ('one.json', 'two.json')
    )
    assert one == two
    one_list, two_list = (
        (folder / f'ranking_{name}.json').read_bytes()
        for name in ('one', 'two')
    )
    assert one_list == two_list
    assert set(one) == {'R@1', 'R@5', 'R@10', 'mAP', 'mINP'}
    assert 0 < one['mAP'] <= 100


@pytest.mark.dist
def test_two_processes_train(runs):
    folder = runs['folder']
    text = finish(
        start(
            ROOT / 'tools/dist_train.sh',
            *(runs['config'], 2, '--work-dir', 'dist', '--auto-scale-lr'),
            *('--cfg-options', 'train_cfg.max_epochs=1'),
            cwd=folder,
            env=OWN_PORT,
        )
    )
    assert 'Training batch size per' in text or 'LR is set' in text
    saved = load(folder / 'dist/epoch_1.pth')
    assert saved['meta']['iter'] == 3  # 24 pairs over 2 processes of 4
    assert not any(k.startswith('module.') for k in saved['state_dict'])


def tool(name):
    """A tool as a module, so that its messages cost no start of Python."""
    spec = importlib.util.spec_from_file_location(
        name, ROOT / f'tools/{name}.py'
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def message(monkeypatch, name, *args):
    """What a tool exits with."""
    monkeypatch.setattr(sys, 'argv', [name, *map(str, args)])
    monkeypatch.delenv('LOCAL_RANK', raising=False)
    with pytest.raises(SystemExit) as error:
        tool(name.rpartition('/')[2]).main()
    return str(error.value)


def test_mistakes_of_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wora = 'configs/wora_cuhk.py'  # found beside the tools, not in cwd
    assert message(monkeypatch, 'train', 'configs/wora_cukh.py').startswith(
        'error: The config "configs/wora_cukh.py" does not exist. In '
    )
    assert 'wora_cuhk.py' in message(
        monkeypatch, 'train', 'configs/wora_cukh.py'
    )
    text = message(monkeypatch, 'train', wora, '--resume', 'none.pth')
    assert text == 'error: No checkpoint "none.pth" to resume from.'
    text = message(monkeypatch, 'test', wora, 'none.pth')
    assert text == 'error: No checkpoint "none.pth".'
    text = message(monkeypatch, 'test', wora, 'x', '--out', 'a.txt')
    assert '"a.txt": metrics can be written to .pkl, .pickle, .json' in text
    text = message(monkeypatch, 'test', wora, 'x', '--out-item', 'pred')
    assert text == 'error: --out-item needs --out FILE.'
    monkeypatch.delenv('RANK', raising=False)
    text = message(monkeypatch, 'train', wora, '--launcher', 'pytorch')
    if not torch.cuda.is_available():
        assert 'dist_*.sh' in text
        text = message(monkeypatch, 'train', wora, '--amp')
        assert text.startswith('error: --amp needs a GPU')
    assert not list(tmp_path.iterdir())


def test_non_finite_loss_ends_with_one_message(tmp_path, monkeypatch):
    errors = []
    monkeypatch.setattr(
        'mmtpr.engine.launch.print_log', lambda text, **_: errors.append(text)
    )
    model = dict(type='DropoutRegression', bad_at=6)
    Config(toy_config(tmp_path / 'work', model=model)).dump(
        str(tmp_path / 'bad.py')
    )
    assert message(monkeypatch, 'train', tmp_path / 'bad.py') == '1'
    (text,) = errors
    assert 'Non-finite loss at epoch 2, iteration 6' in text
    assert 'loss_fit=nan' in text
    load(tmp_path / 'work/epoch_1.pth')
