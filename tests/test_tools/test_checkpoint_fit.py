"""tools/test.py takes no checkpoint that leaves a part of the model random."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmtpr.engine import AdapterCheckpointHook, StrictLoadHook, launch
from mmtpr.models.adapters import adapter_state_dict, trainable_state_dict
from mmtpr.registry import MODELS
from mmtpr.testing import shrink_config, write_tiny_data

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Tiny CUHK-PEDES with the files of ITCPR beside."""
    root = write_tiny_data(tmp_path_factory.mktemp('data'), num_ids=(3, 2, 2))
    records = json.loads((root / 'reid_raw.json').read_text())[:6]
    rows = [
        dict(file_path=f'imgs/{r["file_path"]}', instance_id=i, caption='red')
        for i, r in enumerate(records)
    ]
    for name in ('query', 'gallery'):
        (root / f'{name}.json').write_text(json.dumps(rows))
    return root


@pytest.fixture
def write(data, tmp_path):
    """Write a small config, and its model's weights as a checkpoint."""

    def to_disk(name, state=lambda model: model.state_dict(), change=None):
        cfg = shrink_config(ROOT / f'configs/{name}.py', data)
        cfg.test_dataloader.dataset.data_root = str(data)
        cfg.visualizer.vis_backends = [dict(type='LocalVisBackend')]
        cfg.work_dir = str(tmp_path / 'work')
        cfg.experiment_name = f'{name}_{tmp_path.name}'
        (change or (lambda cfg: None))(cfg)
        cfg.dump(str(tmp_path / 'config.py'))
        torch.manual_seed(0)
        weights = state(MODELS.build(cfg.model))
        path = tmp_path / 'given.pth'
        torch.save(dict(state_dict=weights, meta={}), path)
        return str(tmp_path / 'config.py'), str(path)

    return to_disk


def run(monkeypatch, config, checkpoint, *args):
    """tools/test.py, and the metrics it writes."""
    out = Path(checkpoint).with_name('out.json')
    out.unlink(missing_ok=True)
    argv = ['test', config, checkpoint, '--out', str(out), *args]
    monkeypatch.setattr(sys, 'argv', argv)
    monkeypatch.setenv('LOCAL_RANK', '0')
    path = ROOT / 'tools/test.py'
    spec = importlib.util.spec_from_file_location('tools_test', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main()
    return json.loads(out.read_text())


def refused(monkeypatch, *args):
    with pytest.raises(SystemExit) as error:
        run(monkeypatch, *args)
    return str(error.value)


def three_tinets(cfg):
    cfg.model.query.tinets = [dict(cfg.model.query.tinets[0])] * 3


def test_a_tinet_that_is_missing_or_too_many_stops(write, monkeypatch):
    def without_last(model):
        state = model.state_dict()
        return {k: v for k, v in state.items() if '.tinets.2.' not in k}

    name = 'word4per_fuse_itcpr'
    files = write(name, without_last, three_tinets)
    message = refused(monkeypatch, *files)
    assert message.startswith('error: "')
    assert 'All missing: query.tinets.2.* (' in message
    assert 'Nothing was loaded' in message
    # The other way round: more in the file than in the model.
    _, checkpoint = write(name, change=three_tinets)
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    config, _ = write(name, lambda model: state)
    message = refused(monkeypatch, config, checkpoint)
    assert 'All unexpected: query.tinets.2.* (' in message


def test_what_fits_is_tested(write, monkeypatch):
    found = run(monkeypatch, *write('word4per_fuse_itcpr'))
    assert {'R@1', 'tinet1/R@1'} <= set(found)


def test_losses_of_another_training_do_not_matter(write, monkeypatch):
    def other_losses(model):
        state = model.state_dict()
        state['losses.id.classifier.weight'] = torch.ones(9, 32)
        state['losses.mine.weight'] = torch.ones(1)
        return {k: v for k, v in state.items() if 'mlm' not in k}

    assert run(monkeypatch, *write('irra_cuhk', other_losses))['mAP'] > 0

    def without_text(model):
        state = model.state_dict()
        return {k: v for k, v in state.items() if 'token_emb' not in k}

    message = refused(monkeypatch, *write('irra_cuhk', without_text))
    assert '1 missing key (encoder.clip.token_embedding.weight)' in message


def with_weights(folder):
    """Give the encoder a file to start from, as ``pretrained='openai'``."""

    def change(cfg):
        encoder = cfg.model.encoder.module
        encoder.pretrained = None
        file = folder / 'encoder.pth'
        torch.save(MODELS.build(encoder).clip.state_dict(), file)
        encoder.pretrained = str(file)

    return change


@pytest.mark.parametrize(
    ('state', 'warned'),
    [(adapter_state_dict, True), (trainable_state_dict, False)],
)
def test_adapters_alone(write, tmp_path, monkeypatch, state, warned):
    """Both contents of AdapterCheckpointHook."""
    change = with_weights(tmp_path)
    files = write('wora_cuhk', state, change)
    if warned:
        message = refused(monkeypatch, *files)
        assert 'lacks weights that were trained with it, 45 miss' in message
        files = (*files, '--allow-partial')
    assert run(monkeypatch, *files)['mAP'] > 0
    # The last of the two runs.
    log = max((tmp_path / 'work').glob('*/*.log')).read_text()
    assert 'holds a part of the model' in log
    assert ('those of the config are taken instead' in log) == warned
    message = refused(
        monkeypatch,
        *files,
        '--cfg-options',
        'model.encoder.module.pretrained=None',
    )
    assert 'would be random. Set pretrained' in message


def test_checkpoints_of_a_training_are_tested(write, tmp_path, monkeypatch):
    """Averaged weights, and the adapters that the hook wrote."""

    def change(cfg):
        with_weights(tmp_path)(cfg)
        cfg.custom_hooks = [dict(type='EMAHook', momentum=0.1)]

    config, _ = write('wora_cuhk', change=change)
    Runner.from_cfg(Config.fromfile(config)).train()
    (best,) = (tmp_path / 'work').glob('best_mAP_*.pth')
    whole = run(monkeypatch, config, str(best))
    assert 0 < whole['mAP'] <= 100
    last = tmp_path / 'work/adapter_epoch_1.pth'
    assert AdapterCheckpointHook.__name__ in Path(config).read_text()
    assert 0 < run(monkeypatch, config, str(last))['mAP'] <= 100


def test_a_hook_of_the_config_keeps_what_it_was_told():
    told = dict(type='mmtpr.StrictLoadHook', missing=['a'])
    for hook in (told, {**told, 'type': StrictLoadHook}):
        cfg = Config(dict(custom_hooks=[dict(type='EMAHook'), hook]))
        launch.require_fit(cfg, test_only=True)
        assert len(cfg.custom_hooks) == 2
        assert cfg.custom_hooks[1].missing == ['a']
        assert cfg.custom_hooks[1].test_only is True
    cfg = Config(dict())
    launch.require_fit(cfg)
    assert [h.type for h in cfg.custom_hooks] == ['mmtpr.StrictLoadHook']
