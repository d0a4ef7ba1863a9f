"""What cannot be expressed of peft, or in peft, is named."""

import copy
import json

import pytest
import torch
from peft_cases import plain, write
from torch import nn

from mmtpr.models.adapters import (
    inject_adapters,
    load_peft_adapter,
    peft_adapter,
)


class TestRefusals:
    def base(self, **options):
        return dict(peft_type='LORA', r=2, target_modules=['fc.0'], **options)

    def state(self, **more):
        name = 'base_model.model.fc.0.'
        return {
            f'{name}lora_A.weight': torch.randn(2, 8),
            f'{name}lora_B.weight': torch.randn(12, 2),
            **more,
        }

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            (dict(peft_type='IA3'), "of the method 'IA3'; mmtpr has its LORA"),
            (dict(peft_type=None), 'of the method None'),
            (dict(bias='lora_only'), "bias='lora_only' trains biases"),
            (dict(modules_to_save=['fc.2']), r'whole modules \(fc\.2\)'),
            (dict(use_qalora=True), 'use_qalora=True'),
            (dict(lora_bias=True), 'lora_bias=True'),
            (dict(layer_replication=[[0, 2]]), 'layer_replication='),
            (dict(some_new_option=3), 'some_new_option=3'),
            (
                dict(init_lora_weights='olora'),
                "init_lora_weights='olora' chan",
            ),
            (
                dict(init_lora_weights='pissa_niter_4'),
                'path_initial_model_for_weight_conversion',
            ),
            (
                dict(init_lora_weights='pissa', use_dora=True),
                "'pissa' with magnitudes",
            ),
            (dict(r=3), 'says rank 3 of "fc.0", its tensors have 2'),
            (dict(use_dora=True), 'has no lora_magnitude_vector'),
        ],
    )
    def test_of_the_config(self, tmp_path, options, message):
        config = {**self.base(), **options}
        folder = write(tmp_path / 'a', config, self.state())
        model = plain()
        with pytest.raises(ValueError, match=message):
            load_peft_adapter(model, folder)
        assert type(model.fc[0]) is nn.Linear

    def test_layers_to_transform_is_what_the_file_holds(self, tmp_path):
        config = self.base(layers_to_transform=[0], layers_pattern='fc')
        folder = write(tmp_path / 'a', config, self.state())
        assert load_peft_adapter(plain(), folder) == ['fc.0']

    def test_of_the_tensors(self, tmp_path):
        name = 'base_model.model.'
        bad = {f'{name}words.lora_embedding_A': torch.zeros(2, 4)}
        folder = write(tmp_path / 'a', self.base(), self.state(**bad))
        with pytest.raises(ValueError, match='lora_embedding_A", which cann'):
            load_peft_adapter(plain(), folder)
        bad = {
            f'{name}fc.9.lora_A.weight': torch.zeros(2, 4),
            f'{name}fc.9.lora_B.weight': torch.zeros(4, 2),
        }
        folder = write(tmp_path / 'b', self.base(), self.state(**bad))
        with pytest.raises(ValueError, match=r'has not.*: fc\.9\. Is the'):
            load_peft_adapter(plain(), folder)

    def test_of_the_folder(self, tmp_path):
        with pytest.raises(FileNotFoundError, match='no folder of peft'):
            load_peft_adapter(plain(), tmp_path)
        (tmp_path / 'adapter_config.json').write_text('{')
        with pytest.raises(ValueError, match='is damaged'):
            load_peft_adapter(plain(), tmp_path)
        config = json.dumps(self.base())
        (tmp_path / 'adapter_config.json').write_text(config)
        with pytest.raises(FileNotFoundError, match='has neither'):
            load_peft_adapter(plain(), tmp_path)
        (tmp_path / 'adapter_model.safetensors').write_text('nothing')
        with pytest.raises(ValueError, match='damaged'):
            load_peft_adapter(plain(), tmp_path)

    def test_what_peft_has_not(self):
        model = nn.Sequential(
            nn.Conv2d(4, 4, 3, dilation=2),
            nn.Conv2d(4, 4, 3, padding=1, padding_mode='reflect'),
            nn.Conv2d(4, 4, 3, groups=2),
        )
        for name, kind, message in (
            ('0', 'LoRA', 'is dilated'),
            ('1', 'LoRA', 'pads by reflect'),
            ('2', 'DoRA', 'has 2 groups'),
        ):
            one = copy.deepcopy(model)
            options = dict(norm_dim='out') if kind == 'DoRA' else {}
            inject_adapters(
                one, dict(type=kind, rank=2, **options), [dict(type=name)]
            )
            with pytest.raises(ValueError, match=message):
                peft_adapter(one)
