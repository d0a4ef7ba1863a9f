"""Every config in float32 on the pretended GPU."""

import pytest
from pretended_cases import needs_python_devices, run_cases


@needs_python_devices
def test_configs():
    pytest.importorskip('transformers', reason='BERT needs the extra [blip2]')
    pytest.importorskip(
        'mmpretrain.models', reason='Swin needs the extra [openmmlab]'
    )
    assert run_cases('case_configs.py', '-k', 'float32') >= 12
