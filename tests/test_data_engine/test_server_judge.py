"""Pairs judged by a server that answers well, oddly, later or not."""

import base64
import io
import itertools
import json
import math
import re
import zlib

import pytest
from chat_server import KEY, MODEL, chat_server
from engine_content import content
from engine_judged import judge_stage, judged, write_run
from PIL import Image

from mmtpr.data_engine import OpenAIJudge, StageFolder, run_stage
from mmtpr.data_engine.chat_answer import read_answer
from mmtpr.data_engine.judges.questions import QUESTIONS
from mmtpr.data_engine.judges.server_judge import _read
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


def test_answers_that_do_not_come(run, monkeypatch):
    told = []
    monkeypatch.setattr('mmtpr.data_engine.judge_stage.warn', told.append)
    # The second question about one pair, however often it is asked.
    (row, *_) = StageFolder(run / 'render').read_all()
    image = (run / 'render/images' / row['reference_image']).read_bytes()
    url = f'data:image/jpeg;base64,{base64.b64encode(image).decode()}'

    def answer(asked):
        number = asked_question(asked)
        shown = asked['messages'][-1]['content'][1]['image_url']['url']
        return 100 if (number, shown) == (1, url) else number, '5', None

    with chat_server({100: ['500'] * 99}, answer) as server:
        folder, rows = judged(run, judge(server), 'faulty')
    assert folder.summary['unreadable'] == folder.summary['unanswered'] == 1
    (bad,) = [row for row in rows.values() if 'unreadable' in row]
    assert bad['key'] == row['key']
    assert bad['unanswered'] is True
    assert bad['scores'] == dict.fromkeys(QUESTIONS, 5) | dict(same_person=1)
    assert 'planted 500' in bad['raw']['same_person']
    assert 'To 1 of these pairs no answer came' in told[-1]
    assert row['key'] in told[-1]


def digits_of(asked):
    """An answer that only depends on what is asked."""
    content = json.dumps(asked['messages'], sort_keys=True).encode()
    return asked_question(asked), str(1 + zlib.crc32(content) % 5), None


@pytest.mark.parametrize(
    ('first', 'last', 'concurrency'),
    [(2, 5, 1), (7, 11, 3), (7, 999, 1), (7, 999, 3), (28, 999, 3)],
)
def test_an_outage_leaves_no_trace(
    run, tmp_path, monkeypatch, first, last, concurrency
):
    """Requests from the first to the last find no server."""
    monkeypatch.setattr('mmtpr.data_engine.server_watch._MOST_MISSED', 6)
    with chat_server(answer=digits_of) as server:
        folder, _ = judged(run, judge(server), 'undisturbed')
    whole = content(folder.folder)
    number = itertools.count()

    def answer(asked):
        away = first <= next(number) <= last
        return (100 if away else 0), *digits_of(asked)[1:]

    place = StageFolder(tmp_path / 'away')
    with chat_server({100: ['500'] * 999}, answer) as server:
        made = judge_stage(
            run, judge(server, concurrency=concurrency, max_retries=0)
        )
        if last == 999:
            with pytest.raises(LaunchError, match='answers no more'):
                run_stage(made, place)
            server.faults.clear()
        run_stage(made, place)
    assert content(place.folder) == whole


@pytest.mark.parametrize('concurrency', [1, 3])
def test_a_pair_that_is_refused_blocks_no_run(run, tmp_path, concurrency):
    (row, *_) = StageFolder(run / 'render').read_all()
    image = (run / 'render/images' / row['reference_image']).read_bytes()
    shown = base64.b64encode(image).decode()

    def answer(asked):
        is_it = shown in json.dumps(asked['messages'])
        return (100 if is_it else 0), '5', None

    with chat_server({100: ['400'] * 999}, answer) as server:
        made = judge(server, concurrency=concurrency)
        folder, rows = judged(run, made, f'refused-{concurrency}')
    assert folder.summary['unanswered'] == 1
    assert 'planted 400' in rows[row['key']]['raw']['quality']
    assert {*rows[row['key']]['scores'].values()} == {1}


def test_a_judge_whose_options_are_refused(run):
    with (
        chat_server({0: ['400'] * 99}, lambda asked: (0, '', None)) as server,
        pytest.raises(LaunchError, match='refuses the request'),
    ):
        judged(run, judge(server), 'options')


def log_prob(token, value, *others):
    top = [dict(token=t, logprob=p, bytes=None) for t, p in others]
    return dict(token=token, logprob=value, bytes=None, top_logprobs=top)


@pytest.mark.parametrize(
    ('text', 'steps', 'score'),
    [
        ('10', [log_prob('1', 0.0), log_prob('0', 0.0)], None),
        ('4/5', None, 4),
        ('4', [log_prob(None, 0.0)], 4),
        ('4', [log_prob('4', None)], 4),
        ('4', [log_prob('4', '-0.1')], 4),
        ('4', ['4'], 4),
        ('4', [log_prob('4', math.nan, ('5', 0.0))], 4),
        ('4', [log_prob('4', -0.7, ('5', -0.7), (None, 0), ('3', None))], 4.5),
    ],
)
def test_odd_answers_and_log_probabilities(text, steps, score):
    choice = dict(message=dict(role='assistant', content=text))
    if steps is not None:
        choice['logprobs'] = dict(content=steps)
    pytest.importorskip('openai')
    from openai.types.chat import ChatCompletion

    # As the client makes it: of unchecked types.
    found, _ = _read(read_answer(ChatCompletion.construct(choices=[choice])))
    assert found == (None if score is None else pytest.approx(score))


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
