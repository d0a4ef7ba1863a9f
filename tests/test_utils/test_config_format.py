import pytest
from mmengine.config import Config, config

from mmtpr.utils.compat import format_configs_once


@pytest.mark.skipif(
    not hasattr(config, 'FormatCode'),
    reason='this mmengine does not format configs by yapf',
)
def test_formatted_once_and_alike(monkeypatch, yapf_of_configs):
    plain = yapf_of_configs.__wrapped__  # put there by importing mmtpr
    calls = []
    monkeypatch.setattr(
        config, 'FormatCode', lambda *a, **k: calls.append(1) or plain(*a, **k)
    )
    cfg = Config(dict(a=dict(b=[1, 2], c='x' * 90), d=(1,)))
    direct = cfg.pretty_text
    format_configs_once()
    assert [cfg.pretty_text for _ in range(3)] == [direct] * 3
    assert len(calls) == 2
    cfg.d = 5
    assert 'd = 5' in cfg.pretty_text
    assert len(calls) == 3
    format_configs_once()  # once is enough
    assert config.FormatCode.__wrapped__ is not config.FormatCode
    for number in range(40):
        config.FormatCode(f'a = {number}\n')
    assert len(config.FormatCode.cache) <= 16
