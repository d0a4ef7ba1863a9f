"""Joining TINets."""

import importlib.util
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from mmtpr.registry import MODELS
from mmtpr.testing import tiny_encoder_cfg

ROOT = Path(__file__).resolve().parents[2]
TINET = dict(type='mmtpr.TINet', hidden_dim=8)


@pytest.fixture(scope='module')
def tool():
    path = ROOT / 'tools/model_converters/fuse_tinets.py'
    spec = importlib.util.spec_from_file_location('fuse_tinets', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build(*tinets):
    return MODELS.build(
        dict(
            type='mmtpr.ComposedPersonRetriever',
            encoder=tiny_encoder_cfg(context_length=16),
            query=dict(type='mmtpr.PseudoWordQuery', tinets=list(tinets)),
        )
    ).eval()


def save(model, path):
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    return str(path)


def test_a_fused_model_sums_the_queries(tool, tmp_path):
    one, two = build(TINET), build(TINET)
    two.encoder.load_state_dict(one.encoder.state_dict())
    paths = [save(one, tmp_path / 'a.pth'), save(two, tmp_path / 'b.pth')]
    fused = build(TINET, TINET)
    fused.load_state_dict(tool.fuse(paths), strict=True)
    images = torch.randn(2, 3, 64, 32)
    tokens = torch.zeros(2, 16, dtype=torch.long)
    tokens[:, :3] = torch.tensor([49406, 320, 49407])
    with torch.no_grad():
        parts = [m.extract_query_feat(images, tokens) for m in (one, two)]
        got = fused.extract_query_feat(images, tokens)
    torch.testing.assert_close(got, F.normalize(sum(parts), dim=-1))


def test_wrong_checkpoints_are_named(tool, tmp_path):
    one, two = build(TINET), build(TINET)
    paths = [save(one, tmp_path / 'a.pth'), save(two, tmp_path / 'b.pth')]
    with pytest.raises(ValueError, match=r'b\.pth" are not over the same'):
        tool.fuse(paths)
    with pytest.raises(ValueError, match=r'c\.pth" has no TINet'):
        tool.fuse([save(one.encoder, tmp_path / 'c.pth')])


def test_one_checkpoint_is_too_few(tool, tmp_path, monkeypatch, capsys):
    path = save(build(TINET), tmp_path / 'a.pth')
    out = tmp_path / 'fused.pth'
    monkeypatch.setattr('sys.argv', ['fuse', path, '--out', str(out)])
    with pytest.raises(SystemExit) as error:
        tool.main()
    assert error.value.code == 2
    assert 'one checkpoint has nothing to be joined' in capsys.readouterr().err
    assert not out.exists()
    monkeypatch.setattr('sys.argv', ['fuse', path, path, '--out', str(out)])
    tool.main()
    assert capsys.readouterr().out == f'{out}: 2 TINets\n'
