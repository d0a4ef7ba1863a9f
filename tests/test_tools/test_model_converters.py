"""The converters as a user runs them, on tiny checkpoints."""

import importlib.util
import json
import subprocess
import sys

import pytest
import torch
from torch import nn

from mmtpr.models.adapters import named_adapters
from mmtpr.registry import MODELS
from mmtpr.testing import tiny_encoder_cfg, tiny_retriever_cfg


def retriever_cfg():
    cfg = tiny_retriever_cfg()
    cfg['losses']['mlm'] = dict(type='mmtpr.MLMLoss', layers=1)
    return cfg


def rde_cfg():
    neck = dict(type='mmtpr.TokenSelection', embed_dim=24, hidden_dim=12)
    tal = dict(type='mmtpr.TALLoss')
    return tiny_retriever_cfg(
        necks=dict(selected=neck),
        losses=dict(bge=tal, tse=dict(tal, embedding='selected')),
    )


def composed_cfg(number=1):
    return dict(
        type='mmtpr.ComposedPersonRetriever',
        encoder=tiny_encoder_cfg(),
        query=dict(
            type='mmtpr.PseudoWordQuery',
            tinets=[dict(type='mmtpr.TINet', hidden_dim=8)] * number,
        ),
    )


def adapted_cfg():
    encoder = dict(
        type='mmtpr.AdapterModel',
        adapter=dict(type='LoRA', rank=2),
        module=tiny_encoder_cfg(),
        targets=[dict(type=r'clip\.visual\..*\.mlp\..*')],
        trainable=[r'clip\.visual\.ln_post'],
    )
    return tiny_retriever_cfg(encoder=encoder)


@pytest.fixture(scope='module')
def models():
    torch.manual_seed(0)
    made = {
        'text': MODELS.build(retriever_cfg()),
        'rde': MODELS.build(rde_cfg()),
        'composed': MODELS.build(composed_cfg(2)),
        'lora': MODELS.build(adapted_cfg()),
    }
    for _, layer in named_adapters(made['lora']):
        nn.init.normal_(layer.lora_B, std=0.1)
    return made


@pytest.fixture(scope='module')
def folder(models, tmp_path_factory):
    """Checkpoints and configs of tiny models."""
    folder = tmp_path_factory.mktemp('converters')
    for name, cfg in (
        ('text', retriever_cfg()),
        ('rde', rde_cfg()),
        ('composed', composed_cfg(2)),
        ('lora', adapted_cfg()),
    ):
        file = dict(state_dict=models[name].state_dict(), meta=dict(epoch=1))
        torch.save(file, folder / f'{name}.pth')
        text = f'default_scope = "mmtpr"\nmodel = {cfg!r}\n'
        (folder / f'{name}.py').write_text(text)
    return folder


@pytest.fixture
def run(repo_root, folder, monkeypatch, capsys):
    """Run a tool in this process; return what it printed."""

    def call(tool, *args):
        path = repo_root / f'tools/model_converters/{tool}.py'
        spec = importlib.util.spec_from_file_location(f'_tool_{tool}', path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, 'argv', [tool, *map(str, args)])
        module.main()
        return capsys.readouterr().out

    return call


def weights(path, entry='state_dict'):
    content = torch.load(path, weights_only=True)
    return content[entry] if entry else content


def check_equal(found, wanted, left_out=()):
    assert set(found) == set(wanted) - set(left_out)
    assert all(torch.equal(found[k], wanted[k]) for k in found)


def test_irra_there_and_back(run, folder, models):
    scale = 'encoder.clip.logit_scale'
    printed = run('irra', 'text.pth', 'irra.pth', '--export')
    assert f'Left out 1, e.g. {scale}' in printed
    assert 'e.g. meta: an entry beside the weights' in printed
    release = weights(folder / 'irra.pth', 'model')
    assert 'base_model.visual.proj' in release
    assert 'mlm_head.fc.bias' in release
    run('irra', 'irra.pth', 'irra_ours.pth', '--config', 'text.py')
    wanted = models['text'].state_dict()
    check_equal(
        weights(folder / 'irra_ours.pth'),
        wanted | {scale: torch.tensor(50.0).log()},
    )


def test_rde_there_and_back(run, folder, models):
    scale = 'encoder.clip.logit_scale'
    printed = run('rde', 'rde.pth', 'release.pth', '--export')
    assert f'Left out 1, e.g. {scale}' in printed
    release = weights(folder / 'release.pth', 'model')
    assert 'base_model.visual.proj' in release
    # What the release has and never uses, for its strict load.
    assert release['visul_emb_layer.linear.weight'].abs().max() == 0
    assert release['texual_emb_layer.mlp.bns.1.running_var'].min() == 1
    # Without a config the neck is called tse.
    printed = run('rde', 'release.pth', 'plain.pth')
    assert 'Left out 2, e.g. visul_emb_layer.linear.weight' in printed
    assert 'Left out 10, e.g. visul_emb_layer.mlp.bns.1.weight' in printed
    wanted = {
        key.replace('necks.selected.', 'necks.tse.'): value
        for key, value in models['rde'].state_dict().items()
    }
    log_scale = {scale: torch.tensor(50.0).log()}
    check_equal(weights(folder / 'plain.pth'), wanted | log_scale)


def test_rde_by_a_config_and_others(run, folder, models):
    run('rde', 'rde.pth', 'rde_a.pth', '--export')
    # The neck of the config is called otherwise than tse.
    words = 'rde', 'rde_a.pth', 'rde_b.pth', '--config', 'rde.py'
    with pytest.raises(SystemExit, match='22 missing keys'):
        run(*words)
    run(*words, '--neck', 'selected')
    wanted = models['rde'].state_dict()
    log_scale = {'encoder.clip.logit_scale': torch.tensor(50.0).log()}
    check_equal(weights(folder / 'rde_b.pth'), wanted | log_scale)
    with pytest.raises(SystemExit, match=r'RDE, but it is mmtpr text retr'):
        run('rde', 'text.pth', 'nothing.pth')
    with pytest.raises(SystemExit, match=r'it is RDE\. tools/model_conv.*rde'):
        run('irra', 'rde_a.pth', 'nothing.pth')
    run('openai_clip', 'rde.pth', 'clip_of_rde.pth', '--export')
    bare = weights(folder / 'clip_of_rde.pth', None)
    assert not [key for key in bare if 'necks' in key]
    less = weights(folder / 'rde_a.pth', 'model')
    less.pop('texual_emb_layer.linear.bias')
    torch.save(dict(model=less), folder / 'less.pth')
    with pytest.raises(
        SystemExit, match=r'not whole: 1 weights.*text.shortcut'
    ):
        run('rde', 'less.pth', 'nothing.pth')


def test_clip_there_and_back(run, folder, models):
    run('openai_clip', 'text.pth', 'clip.pth', '--export')
    bare = weights(folder / 'clip.pth', None)
    assert 'visual.proj' in bare
    run('openai_clip', 'clip.pth', 'clip_ours.pth')
    state = models['text'].state_dict()
    encoder = {k: v for k, v in state.items() if k.startswith('encoder.')}
    check_equal(weights(folder / 'clip_ours.pth'), encoder)


def test_positions_of_clip_get_the_size_of_images(run, folder):
    run('openai_clip', 'text.pth', 'a.pth', '--export')
    run(
        *('openai_clip', 'a.pth', 'wide.pth'),
        *('--image-size', 96, 48, '--source-size', 64, 32),
    )
    wide = weights(folder / 'wide.pth')['encoder.clip.visual.' + POSITIONS]
    assert len(wide) == 1 + 6 * 3
    with pytest.raises(SystemExit, match='pretrained_size'):
        run('openai_clip', 'a.pth', 'b.pth', '--image-size', 96, 48)
    with pytest.raises(SystemExit, match='no multiple of the patch size 16'):
        run('openai_clip', 'a.pth', 'b.pth', '--image-size', 90, 48)


POSITIONS = 'positional_embedding'


def test_word4per_there_and_back(run, folder, models):
    printed = run(
        'word4per', 'composed.pth', 'w4p.pth', '--export', '--tinet', 1
    )
    assert 'another TINet; this file gets number 1' in printed
    wanted = models['composed'].query.tinets[1].state_dict()
    check_equal(weights(folder / 'w4p.pth', 'img2text'), wanted)
    run('word4per', 'w4p.pth', 'w4p_ours.pth')
    ours = weights(folder / 'w4p_ours.pth')
    one = MODELS.build(composed_cfg())
    one.load_state_dict(ours, strict=True)
    check_equal(one.query.tinets[0].state_dict(), wanted)
    check_equal(
        one.encoder.state_dict(),
        models['composed'].encoder.state_dict()
        | {'clip.logit_scale': torch.tensor(50.0).log()},
    )


def test_a_tinet_by_itself(run, folder, models):
    tinet = models['composed'].query.tinets[0].state_dict()
    for name, content in (('a', tinet), ('b', dict(img2text=tinet))):
        torch.save(content, folder / f'tinet_{name}.pth')
        printed = run('word4per', f'tinet_{name}.pth', f'{name}_ours.pth')
        assert '0 tensors of the encoder, 6 of a TINet' in printed
        ours = weights(folder / f'{name}_ours.pth')
        assert {k.split('.', 3)[3] for k in ours} == set(tinet)


def test_swin_there_and_back(run, folder):
    models = pytest.importorskip('mmpretrain.models')
    options = dict(
        arch=dict(embed_dims=8, depths=[2, 1], num_heads=[1, 2]),
        out_indices=(1,),
    )
    swin = models.SwinTransformer(window_size=4, **options)
    wanted = swin.state_dict()
    torch.save(
        {f'backbone.{k}': v for k, v in wanted.items()}
        | {'head.fc.bias': torch.zeros(3)},
        folder / 'swin.pth',
    )
    printed = run('swin', 'swin.pth', 'microsoft.pth', '--export')
    assert 'head.fc.bias: the classifier' in printed
    run('swin', 'microsoft.pth', 'swin_ours.pth')
    check_equal(weights(folder / 'swin_ours.pth'), wanted)
    run('swin', 'microsoft.pth', 'small.pth', '--windows', 7, 2)
    small = models.SwinTransformer(
        stage_cfgs=[dict(window_size=7), dict(window_size=2)], **options
    )
    small.load_state_dict(weights(folder / 'small.pth'), strict=True)


def test_mistakes_are_one_message(run, folder):
    with pytest.raises(SystemExit, match=r'IRRA or Word4Per, but it is mmtpr'):
        run('irra', 'text.pth', 'nothing.pth')
    with pytest.raises(SystemExit, match='is mmtpr composed retrieval'):
        run('irra', 'composed.pth', 'nothing.pth', '--export')
    with pytest.raises(SystemExit, match='--overwrite replaces it'):
        run('irra', 'text.pth', 'composed.pth', '--export')
    with pytest.raises(SystemExit, match=r'"no\.pth" does not exist'):
        run('irra', 'no.pth', 'nothing.pth')
    state = dict(weights(folder / 'text.pth'), odd=torch.zeros(1))
    torch.save(state, folder / 'odd.pth')
    with pytest.raises(SystemExit, match=r'1 keys belong to no part .* odd'):
        run('irra', 'odd.pth', 'nothing.pth', '--export')
    assert not (folder / 'nothing.pth').exists()
    printed = run('irra', 'odd.pth', 'rest.pth', '--export', '--ignore', 'odd')
    assert 'Left out 1, e.g. odd: asked for by "odd"' in printed


def test_a_config_of_another_size_stops(run, folder):
    run('irra', 'text.pth', 'c.pth', '--export')
    with pytest.raises(
        SystemExit,
        match=r'49408 words there and 500 in the model.*mismatched key',
    ):
        run(
            *('irra', 'c.pth', 'nothing.pth', '--config', 'text.py'),
            *('--cfg-options', 'model.encoder.model.text_cfg.vocab_size=500'),
        )
    assert not (folder / 'nothing.pth').exists()


def test_the_command_itself(repo_root, folder):
    """A fresh process, without the package on the path."""
    tool = repo_root / 'tools/model_converters/irra.py'
    command = [sys.executable, str(tool), 'composed.pth', 'nothing.pth']
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith('error: "composed')
    assert 'Traceback' not in done.stderr


def test_peft_export(run, folder, models):
    printed = run(
        *('export_peft', 'lora.py', 'lora.pth', 'peft'),
        *('--root', 'encoder.clip', '--base', 'base.pth'),
    )
    assert 'peft: LoRA, 8 tensors' in printed
    config = json.loads((folder / 'peft/adapter_config.json').read_text())
    assert (config['peft_type'], config['r']) == ('LORA', 2)
    from safetensors.torch import load_file

    state = load_file(folder / 'peft/adapter_model.safetensors')
    name = 'visual.transformer.resblocks.0.mlp.c_fc'
    assert torch.equal(
        state[f'base_model.model.{name}.lora_B.weight'],
        models['lora'].encoder.module.get_submodule(f'clip.{name}').lora_B,
    )
    plain = MODELS.build(tiny_retriever_cfg())
    base = weights(folder / 'base.pth', None)
    plain.encoder.clip.load_state_dict(base, strict=True)
    frozen = models['lora'].encoder.module.get_submodule(f'clip.{name}').linear
    assert torch.equal(base[f'{name}.weight'], frozen.weight)


def test_peft_import(run, folder, models, tmp_path):
    run(
        *('export_peft', 'lora.py', 'lora.pth', 'back'),
        *('--root', 'encoder.clip', '--base', 'below.pth'),
    )
    options = ('--root', 'encoder.clip', '--wrap', 'encoder')
    printed = run('import_peft', 'text.py', 'back', 'adapter.pth', *options)
    assert 'LoRA, 12 tensors' in printed
    lines = printed[printed.index('adapter = ') : printed.index(']') + 1]
    said = {}
    exec(lines, said)
    assert said['adapter'] == dict(type='LoRA')
    assert said['targets'][0] == dict(
        type=r'clip\.visual\.transformer\.resblocks\.0\.mlp\.c_fc',
        rank=2,
        alpha=8.0,
    )
    given = torch.load(folder / 'adapter.pth', weights_only=True)
    found = models['lora'].state_dict()
    for key, value in given['state_dict'].items():
        assert torch.equal(found[key], value), key
    with pytest.raises(RuntimeError, match='exists already; --overwrite'):
        run('import_peft', 'text.py', 'back', 'adapter.pth', *options)
    with pytest.raises(ValueError, match='is not inside --wrap query'):
        run(
            *('import_peft', 'text.py', 'back', 'other.pth'),
            *('--root', 'encoder.clip', '--wrap', 'query'),
        )
    config = folder / 'back' / 'adapter_config.json'
    config.write_text(json.dumps(dict(peft_type='VERA')))
    with pytest.raises(ValueError, match="of the method 'VERA'"):
        run('import_peft', 'text.py', 'back', 'other.pth', *options)
    assert not (folder / 'other.pth').exists()


def test_merging_refuses_what_differs(run, folder, monkeypatch):
    printed = run('merge_adapters', 'lora.py', 'lora.pth', 'merged.pth')
    assert 'layers and the features differ by at most' in printed
    merged = weights(folder / 'merged.pth')
    MODELS.build(tiny_retriever_cfg()).load_state_dict(merged, strict=True)
    with pytest.raises(ValueError, match=r'allowed: 0\)\. Nothing was'):
        run(
            *('merge_adapters', 'lora.py', 'lora.pth', 'other.pth'),
            *('--tolerance', 0),
        )
    assert not (folder / 'other.pth').exists()
