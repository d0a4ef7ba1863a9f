"""Pairs judged by vision-language models: a scripted server, a tiny Qwen."""

import base64
import io
import math
import re

import pytest
from chat_server import KEY, MODEL, chat_server
from engine_judged import judge_stage, judged, write_run
from PIL import Image

from mmtpr.data_engine import OpenAIJudge, TransformersJudge
from mmtpr.data_engine.judges.questions import (
    QUESTIONS,
    expected_digit,
    told_digit,
)
from mmtpr.utils.errors import LaunchError

_NAMES = [*QUESTIONS]


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp('run')
    write_run(folder, 3)
    return folder


def asked_question(asked):
    """Which question it is, counted from 0, by what stands before a text."""
    text = asked['messages'][-1]['content'][-1]['text']
    starts = [QUESTIONS[name].split('"')[0] for name in _NAMES]
    return next(i for i, start in enumerate(starts) if text.startswith(start))


def with_digits(asked):
    """Digit 4, and log-probabilities behind a token that is none."""
    number = asked_question(asked)
    good = [('4', math.log(0.6)), (' 5', math.log(0.3)), ('x', math.log(0.1))]
    steps = [('\n', [('\n', -0.1), ('4', -2.5)]), ('4', good)]
    content = [
        dict(
            token=token,
            logprob=other[0][1],
            bytes=None,
            top_logprobs=[
                dict(token=t, logprob=p, bytes=None) for t, p in other
            ],
        )
        for token, other in steps
    ]
    return number, '\n4', dict(content=content)


def plain(answers):
    """Answers without log-probabilities."""

    def answer(asked):
        number = asked_question(asked)
        return number, answers[number], None

    return answer


def judge(server, **kwargs):
    pytest.importorskip(
        'openai', reason='the extra [synthesis] is not installed'
    )
    defaults = dict(api_key=KEY, timeout=3, max_retries=1, concurrency=3)
    return OpenAIJudge(MODEL, server.url, **(defaults | kwargs))


def test_expected_digits_of_a_server(run):
    with chat_server(answer=with_digits) as server:
        folder, rows = judged(run, judge(server), 'digits')
        asked = server.asked
    assert len(asked) == 5 * 6
    assert folder.summary['unreadable'] == 0
    for row in rows.values():
        assert row['prompt_version'] == 'questions-1'
        for name in QUESTIONS:
            # 0.6 x 4 + 0.3 x 5 of the digits' 0.9
            assert row['scores'][name] == pytest.approx(4 + 1 / 3)
            assert row['raw'][name]['answer'] == '\n4'
    # What a server is shown: both images first, as they are on disk.
    content = asked[0]['messages'][-1]['content']
    kinds = [part['type'] for part in content]
    assert kinds == ['text', 'image_url', 'text', 'image_url', 'text']
    url = content[1]['image_url']['url']
    data = base64.b64decode(
        re.fullmatch(r'data:image/jpeg;base64,(.*)', url)[1]
    )
    assert Image.open(io.BytesIO(data)).size == (32, 64)
    assert asked[0]['logprobs'] is True


def test_digits_of_a_server_without_log_probabilities(run):
    answers = ['5', 'I say 3.', '2/5 or 4', 'no idea', '4']
    with chat_server(answer=plain(answers)) as server:
        made = judge(server, logprobs=False)
        folder, rows = judged(run, made, 'plain')
        assert 'logprobs' not in server.asked[0]
    assert folder.summary['unreadable'] == 6
    for row in rows.values():
        assert [row['scores'][name] for name in QUESTIONS] == [5, 3, 1, 1, 4]
        assert row['unreadable'] is True
        assert row['raw']['unreadable'] == ['reference_fits', 'target_fits']
        assert row['raw']['target_fits'] == 'no idea'


def test_answers_that_do_not_come(run):
    answers = ['5'] * 5
    faults = {1: ['500'] * 2}
    with chat_server(faults, plain(answers)) as server:
        folder, rows = judged(run, judge(server, concurrency=1), 'faulty')
    assert folder.summary['unreadable'] == 1
    (bad,) = [row for row in rows.values() if 'unreadable' in row]
    assert bad['scores'] == dict.fromkeys(QUESTIONS, 5) | dict(same_person=1)
    assert 'planted 500' in bad['raw']['same_person']


def test_no_image_that_cannot_be_read_is_sent(tmp_path):
    rows = write_run(tmp_path, 2)
    path = tmp_path / 'render/images' / rows[0]['target_image']
    path.write_bytes(path.read_bytes()[:-300])
    with chat_server(answer=with_digits) as server:
        folder, found = judged(tmp_path, judge(server))
        assert len(server.asked) == 3 * 5
    assert folder.summary['unreadable'] == 1
    assert found[rows[0]['key']]['scores'] == dict.fromkeys(QUESTIONS, 1.0)


def test_a_server_that_refuses(run):
    with (
        chat_server(answer=with_digits) as server,
        pytest.raises(LaunchError, match='refuses the key'),
    ):
        judged(run, judge(server, api_key='no'), 'refused')


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
