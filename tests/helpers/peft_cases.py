"""A small model, and folders as peft saves them."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn


class Net(nn.Module):
    """A convolution, one with groups, two linear layers, an attention."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.attn = nn.MultiheadAttention(8, 2, batch_first=True)
        self.fc = nn.Sequential(nn.Linear(8, 12), nn.GELU(), nn.Linear(12, 8))

    def forward(self, x):
        x = self.grouped(self.stem(x).relu()).flatten(2).mT
        x = x + self.attn(x, x, x, need_weights=False)[0]
        return self.fc(x).mean(1)


def plain():
    torch.manual_seed(0)
    return Net().eval()


def images():
    return torch.randn(2, 3, 8, 8, generator=torch.manual_seed(1))


def peft_folder(folder, config_name='LoraConfig', **options):
    """A folder as peft saves it, and peft's model."""
    peft = pytest.importorskip('peft', reason='asks peft itself')
    config = getattr(peft, config_name)(**options)
    torch.manual_seed(5)
    model = peft.get_peft_model(plain(), config).eval()
    for name, parameter in model.named_parameters():
        if any(x in name for x in ('lora_', 'oft_R')):
            with torch.no_grad():
                parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return model


def files_of(folder):
    config = json.loads((folder / 'adapter_config.json').read_text())
    return config, load_file(folder / 'adapter_model.safetensors')


def write(folder, config, state):
    folder.mkdir()
    save_file(state, folder / 'adapter_model.safetensors')
    (folder / 'adapter_config.json').write_text(json.dumps(config))
    return folder


def peft_applies_out_proj_twice():
    """Whether this peft has the fault of huggingface/peft#3774."""
    peft = pytest.importorskip('peft', reason='asks peft itself')
    layer = nn.Sequential(nn.MultiheadAttention(4, 1, bias=False))
    config = peft.LoraConfig(r=1, lora_alpha=1, target_modules='0')
    with torch.no_grad():
        plain = layer[0].out_proj.weight.clone()
        out = peft.get_peft_model(layer, config).base_model.model[0]
        part = out.base_layer.out_proj
        part.lora_A['default'].weight.fill_(1)
        part.lora_B['default'].weight.fill_(1)
        out.merge()
        change = part.base_layer.weight - plain
    return change.mean().item() > 1.5
