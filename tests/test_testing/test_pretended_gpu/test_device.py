"""The pretended GPU: what it refuses, counts and casts."""

from pretended_cases import needs_python_devices, run_cases


@needs_python_devices
def test_cases():
    assert run_cases('case_device.py') >= 3
