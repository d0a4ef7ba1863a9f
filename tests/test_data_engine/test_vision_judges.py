"""Pairs judged by vision-language models: a tiny Qwen, and their answers."""

import math

import pytest
from engine_judged import judge_stage, judged, write_run
from PIL import Image

from mmtpr.data_engine import TransformersJudge
from mmtpr.data_engine.judges.questions import (
    QUESTIONS,
    expected_digit,
    told_digit,
)
from mmtpr.utils.errors import LaunchError


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp('run')
    write_run(folder, 3)
    return folder


def test_a_tiny_qwen_judges(run, tmp_path, monkeypatch):
    transformers = pytest.importorskip('transformers')
    import torch
    from tiny_vision import write_tiny_vision_model

    folder = str(write_tiny_vision_model(tmp_path / 'model'))
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    made = TransformersJudge(folder, 'float32', 'cpu')
    place, rows = judged(run, made, 'qwen')
    assert place.summary['unreadable'] == 0
    found = [tuple(row['scores'].values()) for row in rows.values()]
    assert len({*found}) == 6
    assert all(1 < score < 5 for scores in found for score in scores)
    # By hand: the logits behind the prompt, at the bytes of the digits.
    key, request = judge_stage(run, made).items(0)[1]
    processor = transformers.AutoProcessor.from_pretrained(folder)
    model = transformers.AutoModelForImageTextToText.from_pretrained(
        folder, dtype=torch.float32
    ).eval()
    vision = '<|vision_start|><|image_pad|><|vision_end|>'
    question = QUESTIONS['sentence_leads'].format(**request.texts)
    from mmtpr.data_engine.judges.questions import _SYSTEM

    text = (
        f'<|im_start|>system\n{_SYSTEM}<|im_end|>\n'
        f'<|im_start|>user\nLeft image:{vision}Right image:{vision}'
        f'{question}<|im_end|>\n<|im_start|>assistant\n'
    )
    images = [Image.open(p) for p in (request.reference, request.target)]
    given = processor(text=[text], images=images, return_tensors='pt')
    with torch.no_grad():
        logits = model(**given).logits[0, -1]
    ids = [processor.tokenizer.convert_tokens_to_ids(d) for d in '12345']
    shares = logits[ids].softmax(0)
    wanted = float((shares * torch.arange(1, 6)).sum())
    score = rows[key]['scores']['sentence_leads']
    assert score == pytest.approx(wanted, abs=1e-4)


def test_a_model_that_is_not_there(run):
    pytest.importorskip('transformers')
    with pytest.raises(LaunchError, match='"/nowhere/model" cannot be loaded'):
        judged(run, TransformersJudge('/nowhere/model'), 'absent')


@pytest.mark.parametrize(
    ('answer', 'digit'),
    [
        ('4', 4),
        (' 5.', 5),
        ('Score: 3', 3),
        ('3.5', None),
        ('10', None),
        ('7', None),
        ('4 or 5', None),
        ('4/5', 4),
        ('I give 3 / 5.', 3),
        ('0/5', None),
        ('3.5/5', None),
        ('4/10', None),
        ('', None),
    ],
)
def test_digits_of_answers(answer, digit):
    assert told_digit(answer) == digit


def test_expected_digits():
    assert expected_digit({}) is None
    assert expected_digit({'x': -0.1}) is None
    assert expected_digit({'5': -700.0}) == 5
    assert expected_digit({'1': math.log(0.2), '2': math.log(0.2)}) == 1.5
