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
            (dict(use_dora=True, use_wora=True), 'is two methods in one'),
            (dict(rank_pattern=[1]), 'rank_pattern must give numbers to nam'),
            (dict(alpha_pattern=dict(a='1')), "alpha_pattern gives '1' to"),
            (dict(rank_pattern={'(': 2}), r"rank_pattern has '\(', no patt"),
            (dict(lora_alpha=None), 'lora_alpha must be a finite number'),
            (dict(lora_alpha=float('nan')), 'lora_alpha must be a finite'),
            (dict(r='2'), "r must be a whole number above 0, got '2'"),
            (dict(use_rslora='no'), "use_rslora must be true or false, got '"),
            (dict(lora_dropout='0.1'), r'lora_dropout must be in \[0, 1\)'),
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


def number(name, value=0.7):
    return {f'base_model.model.fc.0.{name}': torch.tensor(value)}


def ones(leaf, *shape):
    return {f'base_model.model.fc.0.{leaf}': torch.ones(shape)}


LORA = dict(peft_type='LORA', r=2, target_modules=['fc.0'])
OFT = dict(peft_type='OFT', use_cayley_neumann=False, target_modules=['fc.0'])
FACTORS = ones('lora_A.weight', 2, 8) | ones('lora_B.weight', 12, 2)
MAGNITUDE = ones('lora_magnitude_vector.weight', 12)
NUMBERS = number('lora_wora_alpha') | number('lora_wora_beta')
ROTATION = ones('oft_R.weight', 2, 6)


def refused(folder, config, state, message, **options):
    """The folder is refused, and the model stays what it was."""
    model, before = plain(), plain().state_dict()
    folder = write(folder, config, state)
    with pytest.raises(ValueError, match=message):
        load_peft_adapter(model, folder, **options)
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(
    ('config', 'state', 'message'),
    [
        (LORA, FACTORS | MAGNITUDE | NUMBERS, 'wora_beta in .* says .* a LoR'),
        (LORA, FACTORS | MAGNITUDE, 'holds lora_magnitude_vector in the fol'),
        (
            dict(LORA, use_dora=True),
            FACTORS | MAGNITUDE | NUMBERS,
            'holds lora_wora_alpha, lora_wora_beta in .* a DoRA there has',
        ),
        (LORA, FACTORS | ROTATION, 'holds oft_R in'),
        (OFT, FACTORS | ROTATION, 'holds lora_A, lora_B in'),
    ],
)
def test_tensors_that_the_config_does_not_announce(
    tmp_path, config, state, message
):
    refused(tmp_path / 'a', config, state, message)


@pytest.mark.parametrize(
    ('config', 'state', 'message'),
    [
        (LORA, {}, 'an adapter without any tensors'),
        (LORA, FACTORS | number('lora_A.weight'), r'shape \(\) .*\(any, 8\)'),
        (LORA, FACTORS | ones('lora_A.weight', 8), r'lora_A .* shape \(8,\)'),
        (LORA, FACTORS | ones('lora_A.weight', 2, 9), r'has the shape \(2, 9'),
        (LORA, FACTORS | ones('lora_B.weight', 12, 3), r'takes \(12, 2\)'),
        (LORA, FACTORS | number('lora_A.weight', 1), 'is of torch.int64'),
        (
            LORA,
            {k: v * float('nan') for k, v in FACTORS.items()},
            'lora_A of "fc.0": NaN or infinite numbers. The fold',
        ),
        (
            dict(LORA, use_dora=True),
            FACTORS | ones('lora_magnitude_vector', 3),
            'holds 3 numbers .* this layer takes 12',
        ),
        (
            LORA,
            FACTORS | MAGNITUDE | ones('lora_magnitude_vector', 12),
            'holds lora_magnitude_vector of "fc.0" twice',
        ),
        (OFT, ones('oft_R.weight', 6), r'takes \(any, any\)'),
        (OFT, ones('oft_R.weight', 2, 5), 'are no rotations of the 8 inputs'),
        (OFT, ones('oft_R.weight', 3, 6), 'are no rotations of the 8 inputs'),
        (dict(OFT, block_share=True), ROTATION, 'linear layer, shared'),
        (
            dict(OFT, use_cayley_neumann=True, num_cayley_neumann_terms=None),
            ROTATION,
            'terms must be a whole number above 0, got None',
        ),
        *(
            (dict(OFT, use_cayley_neumann=True, **told), ROTATION, message)
            for told, message in (
                ({}, 'of peft before 0.18, whose series was another'),
                (dict(peft_version='0.17.1'), r'of peft 0\.17\.1, whose ser'),
                (dict(peft_version='new'), "peft_version='new' is no version"),
                (
                    dict(peft_version='0.18.0', num_cayley_neumann_terms=1),
                    'num_cayley_neumann_terms=1 never rotates',
                ),
            )
        ),
    ],
)
def test_tensors_of_other_shapes(tmp_path, config, state, message):
    refused(tmp_path / 'a', config, state, message)


def test_layers_and_roots_that_are_not_there(tmp_path):
    message = 'has no part "encoder"'
    refused(tmp_path / 'a', LORA, FACTORS, message, root='encoder')
    state = {k.replace('fc.0', 'attn.q'): v for k, v in FACTORS.items()}
    refused(tmp_path / 'b', LORA, state, 'has not.*: attn.q. Is the')


def test_factors_of_an_attention_have_its_width(tmp_path):
    state = {k.replace('fc.0', 'attn'): v for k, v in FACTORS.items()}
    refused(tmp_path / 'a', LORA, state, r'takes \(24, 2\)')
