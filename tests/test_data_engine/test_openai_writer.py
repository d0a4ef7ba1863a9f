"""Quadruples from a server that answers well, badly, slowly or not."""

import socket

import pytest
from chat_server import KEY, MODEL, TRIAL, chat_server, quadruple

from mmtpr.data_engine import OpenAIWriter, StageFolder, WriteStage, run_stage
from mmtpr.utils.errors import LaunchError

NUM = 24


@pytest.fixture(autouse=True)
def needs_the_extra():
    pytest.importorskip(
        'openai', reason='the extra [synthesis] is not installed'
    )


def stage(url, num=NUM, **kwargs):
    defaults = dict(api_key=KEY, timeout=1.5, concurrency=6, max_retries=4)
    writer = OpenAIWriter(MODEL, url, **(defaults | kwargs))
    return WriteStage(
        num,
        dict(number=[str(i) for i in range(num)], gender=['woman']),
        writer,
        block_size=10,
    )


def rows(folder):
    """Texts by number that was asked for."""
    return {
        int(row['metadata']['number']): row['raw'] for row in folder.read_all()
    }


FAULTS = {
    1: ['slow'],
    2: ['429', '429', '429'],
    3: ['500'],
    4: ['cut'],
    5: ['silent'],
    6: ['no json'],
    7: ['wrong schema', 'no json'],
    8: ['fenced'],
    9: ['500', 'cut', '429', 'no json', '500'],
    10: ['no protocol'],
    11: ['null message'],
    12: ['no message'],
    13: ['parts'],
    14: ['deep'],
    15: ['500'] * 7,  # longer than one request is patient
}


def test_a_faulty_server_gives_the_records_of_a_faultless_one(tmp_path):
    good, bad = StageFolder(tmp_path / 'good'), StageFolder(tmp_path / 'bad')
    with chat_server() as server:
        run_stage(stage(server.url), good)
        first = server.asked[0]
    with chat_server(FAULTS) as server:
        counts = run_stage(stage(server.url), bad)
    assert counts.kept == NUM
    assert not counts.dropped
    found = rows(bad)
    fenced = found.pop(8)
    assert fenced.startswith('```')
    wanted = rows(good)
    assert wanted.pop(8) in fenced
    assert found == wanted
    texts = {
        int(row['metadata']['number']): row['edit'] for row in bad.read_all()
    }
    assert texts[8] == quadruple(8)['edit']
    # What a server is told.
    assert first['response_format']['type'] == 'json_schema'
    assert first['response_format']['json_schema']['strict'] is True
    assert len({one['seed'] for one in server.asked}) > NUM / 2
    assert 'gender: woman' in first['messages'][-1]['content']


def test_what_stays_bad_is_dropped_and_named(tmp_path):
    faults = {
        3: ['no json'] * 3,
        4: ['500'] * 99,
        5: ['duplicate'] * 9,
        6: ['wrong schema'] * 9,
    }
    folder = StageFolder(tmp_path / 'write')
    with chat_server(faults) as server:
        counts = run_stage(stage(server.url), folder)
    assert counts.dropped == {
        'the answer is no object of the schema': 2,
        'the server did not answer': 1,
        'the same as another record but for small words': 1,
    }
    assert sorted(rows(folder)) == sorted({*range(NUM)} - {3, 4, 5, 6})
    dropped = {
        int(row['metadata']['number']): row
        for row in folder.read_all(dropped=True)
        if 'dropped' in row
    }
    assert 'planted 500' in dropped[4]['raw']
    assert dropped[3]['raw'].startswith('Sure!')


def test_no_server(tmp_path):
    with socket.create_server(('127.0.0.1', 0)) as free:
        port = free.getsockname()[1]
    made = stage(f'http://127.0.0.1:{port}/v1', max_retries=0)
    with pytest.raises(LaunchError, match='There is no server at'):
        run_stage(made, StageFolder(tmp_path / 'write'))


def test_a_wrong_key_and_an_absent_model(tmp_path):
    folder = StageFolder(tmp_path / 'write')
    with chat_server() as server:
        with pytest.raises(LaunchError, match=r'refuses the key .*wrong key'):
            run_stage(stage(server.url, api_key='no'), folder)
        made = stage(server.url)
        made.writer._client.model = 'other'
        with pytest.raises(LaunchError, match=r'"other"; it has tiny-writer'):
            run_stage(made, folder)


@pytest.mark.parametrize(
    ('fault', 'match'),
    [('400', 'refuses the request'), ('404', 'has no model')],
)
def test_requests_that_no_other_try_helps(tmp_path, fault, match):
    faults = {number: [fault] * 9 for number in (TRIAL, *range(NUM))}
    with (
        chat_server(faults) as server,
        pytest.raises(LaunchError, match=f'{match}.*planted {fault}'),
    ):
        run_stage(stage(server.url), StageFolder(tmp_path / 'write'))


@pytest.mark.parametrize('concurrency', [1, 6])
def test_a_record_that_is_refused_blocks_no_run(tmp_path, concurrency):
    folder = StageFolder(tmp_path / 'write')
    # The very first: nothing was answered before.
    with chat_server({0: ['400'] * 99}) as server:
        made = stage(server.url, 12, concurrency=concurrency)
        counts = run_stage(made, folder)
    assert counts.dropped == {'the server refused the request': 1}
    assert sorted(rows(folder)) == [*range(1, 12)]
    (gone,) = (r for r in folder.read_all(dropped=True) if 'dropped' in r)
    assert 'planted 400' in gone['raw']


def test_a_server_that_refuses_all_but_the_trial(tmp_path):
    faults = {number: ['400'] * 9 for number in range(NUM)}
    with (
        chat_server(faults) as server,
        pytest.raises(LaunchError, match='refuses the request'),
    ):
        run_stage(stage(server.url), StageFolder(tmp_path / 'write'))


@pytest.mark.parametrize('fault', ['half an emoji', 'raw half an emoji'])
def test_half_an_emoji_can_be_written(tmp_path, fault):
    folder = StageFolder(tmp_path / 'write')
    with chat_server({0: [fault]}) as server:
        run_stage(stage(server.url, 1), folder)
    (row,) = folder.read_all()
    assert ' coat \ufffd and' in row['reference_caption']


@pytest.mark.parametrize(
    'models',
    [(200, '<html>Welcome</html>'), (200, ['m']), (200, '{"data": [')],
)
def test_what_speaks_another_protocol(tmp_path, models):
    with chat_server() as server:
        server.models = models
        made = stage(server.url, max_retries=0)
        with pytest.raises(LaunchError, match=r'protocol: .* in "/v1"'):
            run_stage(made, StageFolder(tmp_path / 'write'))


def test_a_server_that_is_nothing_at_all_but_there(tmp_path):
    with chat_server({n: ['404'] for n in range(NUM)}) as server:
        server.models = 404, dict(detail='Not Found')
        with pytest.raises(
            LaunchError, match=r'no model .*protocol: .* "/v1"'
        ):
            run_stage(stage(server.url), StageFolder(tmp_path / 'write'))


def test_a_server_that_goes_away_stops_the_run_and_keeps_what_was_done(
    tmp_path, monkeypatch
):
    folder = StageFolder(tmp_path / 'write')
    faults = {number: ['500'] * 999 for number in (TRIAL, *range(60))}
    monkeypatch.setattr('mmtpr.data_engine.server_watch._MOST_MISSED', 5)
    with chat_server() as server:
        made = stage(server.url, num=60, max_retries=0)
        write = made.process

        def fail_later(items):
            if items[0][0] >= '000030':
                server.faults.update(faults)
            yield from write(items)

        made.process = fail_later
        with pytest.raises(LaunchError, match='answers no more'):
            run_stage(made, folder)
        server.faults.clear()
        assert server.turns[TRIAL] == 1  # it was doubted and tried
        before = len(server.asked)
        counts = run_stage(stage(server.url, num=60), folder)
    assert counts.kept == 60
    assert len(server.asked) - before <= 30


def test_an_outage_at_the_end_of_a_run_drops_no_record(tmp_path):
    """Too few requests are left for the server to be given up."""
    folder, num = StageFolder(tmp_path / 'write'), 10
    gone = (TRIAL, 3, 7)
    with chat_server({number: ['500'] * 999 for number in gone}) as server:
        with pytest.raises(LaunchError, match='answers no more'):
            run_stage(stage(server.url, num, max_retries=0), folder)
        server.faults.clear()
        counts = run_stage(stage(server.url, num), folder)
    assert counts.kept == num
