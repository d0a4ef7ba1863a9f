"""Numbers of a config that make no sense are told at once."""

import pytest

from mmtpr.data_engine.judges import OpenAIJudge
from mmtpr.data_engine.writers import OpenAIWriter


@pytest.mark.parametrize('kind', [OpenAIWriter, OpenAIJudge])
@pytest.mark.parametrize(
    ('change', 'match'),
    [
        (dict(concurrency=0), 'concurrency must be .* at least 1, got 0'),
        (dict(concurrency='4'), "concurrency must be .* got '4'"),
        (dict(max_tokens=0), 'max_tokens must be'),
        (dict(max_retries=-1), 'max_retries must be .* at least 0, got -1'),
    ],
)
def test_numbers_of_no_sense_are_told_before_a_server_is_asked(
    kind, change, match
):
    with pytest.raises(ValueError, match=match):
        kind('model', 'http://127.0.0.1:9/v1', **change)
