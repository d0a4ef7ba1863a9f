"""Scoring, search and losses on the pretended GPU."""

from pretended_cases import needs_python_devices, run_cases


@needs_python_devices
def test_cases():
    assert run_cases('case_uses.py') >= 3
