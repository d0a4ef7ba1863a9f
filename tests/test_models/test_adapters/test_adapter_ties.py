"""A head that shares its weight with an embedding."""

import importlib.util
import sys

import pytest
import torch
from torch import nn

from mmtpr.models.adapters import (
    inject_adapters,
    merge_adapters,
    named_adapters,
    tied_weights,
    unmerge_adapters,
)


class Tied(nn.Module):
    """Tokens to logits, as language models do."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(9, 6)
        self.head = nn.Linear(6, 9)
        self.head.weight = self.embedding.weight

    def forward(self, tokens):
        return self.head(self.embedding(tokens))


@pytest.fixture(params=['WoRA', 'DoRA', 'LoRA'])
def model(request):
    torch.manual_seed(0)
    model = Tied()
    inject_adapters(model, dict(type=request.param, rank=2), [{'type': '.*'}])
    for _, adapter in named_adapters(model):
        nn.init.normal_(adapter.lora_B)
    return model.eval()


TOKENS = torch.arange(9)


def test_merging_leaves_the_embedding_alone(model):
    before, table = model(TOKENS), model.embedding.weight.clone()
    merge_adapters(model)
    torch.testing.assert_close(model(TOKENS), before)
    assert torch.equal(model.embedding.weight, table)
    # Moved while merged, and tied again afterwards.
    model.double()
    unmerge_adapters(model)
    assert model.head.linear.weight is model.embedding.weight
    torch.testing.assert_close(model(TOKENS).float(), before)


def test_removal_unties_and_says_so(model, monkeypatch):
    told = []
    monkeypatch.setattr(
        'mmtpr.models.adapters.merge.print_log',
        lambda line, **_: told.append(line),
    )
    before = model(TOKENS)
    merge_adapters(model, remove=True)
    torch.testing.assert_close(model(TOKENS), before)
    (line,) = told
    assert 'head with embedding.weight' in line
    assert 'they are untied now' in line


def test_names_of_ties(model):
    ties = dict(head='embedding.weight')
    assert tied_weights(model) == ties
    merge_adapters(model)
    assert tied_weights(model) == ties
    free = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    free.append(free[0])  # one layer under two names
    inject_adapters(free, dict(type='LoRA', rank=1), [dict(type='.*')])
    assert tied_weights(free) == {}


def test_two_adapted_layers_that_share_a_weight():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    inject_adapters(model, dict(type='WoRA', rank=2), [dict(type='.*')])
    for _, adapter in named_adapters(model):
        nn.init.normal_(adapter.lora_B)
    x = torch.randn(4, 3)
    before = model(x)
    assert tied_weights(model) == {'0': '1.linear.weight'}
    merge_adapters(model)
    torch.testing.assert_close(model(x), before)


def test_the_tool_writes_no_such_file(model, repo_root, tmp_path, monkeypatch):
    path = repo_root / 'tools/model_converters/merge_adapters.py'
    spec = importlib.util.spec_from_file_location('merge_adapters', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.setattr(tool, 'load_named', lambda args: (model, []))
    out = tmp_path / 'out.pth'
    words = [str(path), 'config.py', 'checkpoint.pth', str(out)]
    monkeypatch.setattr(sys, 'argv', words)
    with pytest.raises(ValueError, match=r'head with embedding\.weight'):
        tool.main()
    assert not out.exists()
