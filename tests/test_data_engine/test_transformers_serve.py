"""Writer and judge at ``transformers serve``, offline, over loopback.

Tried with transformers 5.24, which reads a local folder without the hub. It
passes over the JSON schema and the log-probabilities that are asked for.
"""

import json
import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from chat_server import quadruple
from engine_judged import judged, write_run
from reciting import make_reciting
from tiny_chat import write_tiny_chat_model
from tiny_vision import write_tiny_vision_model

from mmtpr.data_engine import (
    OpenAIJudge,
    OpenAIWriter,
    StageFolder,
    WriteStage,
    run_stage,
)
from mmtpr.data_engine.judges.questions import QUESTIONS
from mmtpr.utils.errors import LaunchError

COMMAND = 'from transformers.cli.transformers import main; main()'
SAID = json.dumps(quadruple(3))


@pytest.fixture(scope='module', autouse=True)
def needs_the_command():
    for name in ('openai', 'transformers', 'fastapi', 'uvicorn'):
        pytest.importorskip(name, reason=f'"transformers serve" needs {name}')


@contextmanager
def served(model, log):
    """Run the server with a model; gives its address."""
    command = [sys.executable, '-c', COMMAND, 'serve', str(model)]
    command += ['--device', 'cpu', '--host', '127.0.0.1', '--port', '0']
    with open(log, 'w', encoding='utf-8') as file:
        process = subprocess.Popen(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=dict(os.environ, HF_HUB_OFFLINE='1'),
        )
    try:
        address = None
        while not address:
            text = log.read_text(encoding='utf-8')
            address = re.search(r'running on (http://\S+)', text)
            if process.poll() is not None:
                pytest.fail(f'The server ended:\n{text[-3000:]}')
            time.sleep(0.1)
        yield f'{address[1]}/v1'
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope='module')
def writing(tmp_path_factory):
    """Address of a model that says one quadruple; and the model."""
    from transformers import AutoTokenizer, LlamaForCausalLM

    folder = tmp_path_factory.mktemp('chat') / 'model'
    write_tiny_chat_model(folder, [SAID])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    said = len(tokenizer) - 1
    assert tokenizer.decode([said]) == SAID
    (colon,) = tokenizer(':', add_special_tokens=False)['input_ids']
    model = LlamaForCausalLM.from_pretrained(folder)
    following = {colon: said, said: tokenizer.eos_token_id}
    make_reciting(model, following).save_pretrained(folder)
    with served(folder, folder.parent / 'log.txt') as url:
        yield str(folder), url


def write_stage(model, url, **kwargs):
    writer = OpenAIWriter(model, url, max_retries=0, **kwargs)
    lists = dict(gender=['woman'])
    return WriteStage(3, lists, writer, attempts=1)


@pytest.mark.parametrize('schema', [True, False])
def test_the_writer(writing, tmp_path, schema):
    folder = StageFolder(tmp_path / 'write')
    counts = run_stage(write_stage(*writing, schema=schema), folder)
    assert counts.kept == 1
    reason = 'the same as another record but for small words'
    assert counts.dropped == {reason: 2}
    rows = list(folder.read_all(dropped=True))
    assert [row['raw'] for row in rows] == [SAID] * 3
    assert rows[0]['edit'] == quadruple(3)['edit']


def test_a_model_that_the_server_does_not_have(writing, tmp_path):
    _, url = writing
    with pytest.raises(LaunchError, match='has no model "other"; it has /'):
        run_stage(write_stage('other', url), StageFolder(tmp_path / 'write'))


@pytest.fixture(scope='module')
def judging(tmp_path_factory):
    """Address of a model that says 4 of any images; and the model."""
    from transformers import (
        AutoTokenizer,
        Qwen2_5_VLForConditionalGeneration,
    )

    folder = tmp_path_factory.mktemp('vision') / 'model'
    write_tiny_vision_model(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    line, four = (
        tokenizer(text, add_special_tokens=False)['input_ids'][0]
        for text in ('\n', '4')
    )
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder)
    following = {line: four, four: tokenizer.eos_token_id}
    make_reciting(model, following).save_pretrained(folder)
    with served(folder, folder.parent / 'log.txt') as url:
        yield str(folder), url


def test_the_judge(judging, tmp_path):
    rows = write_run(tmp_path, 1)
    made = OpenAIJudge(*judging, max_retries=0, concurrency=1)
    folder, found = judged(tmp_path, made)
    assert folder.summary['unreadable'] == 0
    assert found.keys() == {row['key'] for row in rows}
    for row in found.values():
        assert row['scores'] == dict.fromkeys(QUESTIONS, 4.0)
        assert row['raw'] == dict.fromkeys(QUESTIONS, '4')
