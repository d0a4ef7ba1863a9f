"""Estimates of memory, by the tool, of every kind of retriever.

Torch knows another accelerator afterwards: in processes of their own.
"""

import json

import pytest

from mmtpr.testing import shrink_config, write_tiny_data

device = pytest.importorskip('mmtpr.testing.pretended_gpu')
if not device.is_available():
    pytest.skip(
        'this torch cannot be told of a pretended GPU', allow_module_level=True
    )

NAMES = ('wora_cuhk', 'aptm_mals', 'fafa_blip2_syncpr_itcpr')


def test_what_is_counted(repo_root, run_together):
    case = repo_root / 'tests/pretended_gpu/case_hollow.py'
    run_together(['-m', 'pytest', '-q', '-p', 'no:cacheprovider', case])


@pytest.fixture(scope='module')
def found(repo_root, run_together, tmp_path_factory):
    """Estimates of shrunk configs: name -> list of dicts."""
    folder = tmp_path_factory.mktemp('memory')
    data = write_tiny_data(folder / 'data')
    for name in NAMES:
        cfg = shrink_config(repo_root / f'configs/{name}.py', data)
        cfg.dump(folder / f'{name}.py')
    worker = repo_root / 'tests/helpers/memory_worker.py'
    run_together([worker, folder, *NAMES])
    return json.loads((folder / 'found.json').read_text())


@pytest.mark.parametrize('name', NAMES)
def test_every_retriever_has_an_estimate(found, name):
    if 'aptm' in name or 'blip2' in name:
        pytest.importorskip('transformers', reason='needs [blip2]')
    small, large, parts = (found[name][k] for k in ('8', '32', 'parts'))
    for step, more in zip(small, large, strict=True):
        assert step['parameters'] == more['parameters']
        assert step['optimizer'] == pytest.approx(
            2 * step['gradients'], rel=0.01
        )
        assert step['peak'] > step['parameters'] + step['optimizer']
        # Four times the batch, about four times the activations; what does
        # not grow with it, such as sentences of attributes, is a part.
        ratio = more['activations'] / step['activations']
        assert 1.5 < ratio < 5
    plain, again, half, _ = large
    assert again['activations'] < 0.75 * plain['activations']
    assert half['activations'] < 0.95 * plain['activations']
    assert [s['checkpointing'] for s in large] == [False, True] * 2
    if 'fafa' not in name:
        assert parts[0]['peak'] < plain['peak']
        assert parts[0]['activations'] < 0.5 * plain['activations']


def test_what_cannot_be_estimated(found):
    assert found['refusals'] == [
        'The config trains nothing: it has no step to size.',
        'The config trains on cached features, without its encoder: a step '
        'takes a few MiB. Give the config that trains the encoder.',
    ]
