"""Whole runs of real configs made small, spread over two processes.

They have more batches to evaluate in one process than in the other, and train
on after that.
"""

import json
from pathlib import Path

import pytest
import torch

from mmtpr.testing import write_tiny_data

pytest.importorskip('transformers', reason='BERT needs [blip2]')
pytest.importorskip('mmpretrain.models', reason='Swin needs [openmmlab]')
pytestmark = pytest.mark.dist

WORKER = Path(__file__).parents[1] / 'helpers/sharded_configs_worker.py'


@pytest.fixture(scope='module')
def runs(run_together, tmp_path_factory):
    folder = tmp_path_factory.mktemp('runs')
    write_tiny_data(folder / 'data', num_ids=(8, 3, 3), captions_per_image=1)
    run_together(*([WORKER, rank, 2, folder] for rank in range(2)))
    return folder


def weights(path):
    return torch.load(path, weights_only=True)['state_dict']


def numbers(folder):
    return json.loads((folder / 'metrics.json').read_text())


def same(one, other, **tolerance):
    assert list(one) == list(other)
    for name, value in one.items():
        torch.testing.assert_close(
            *(other[name], value),
            **(tolerance or dict(atol=0, rtol=0)),
            msg=lambda text, name=name: f'{name}: {text}',
        )


@pytest.mark.parametrize(
    ('plain', 'spread', 'epoch'),
    [
        ('ddp', 'sharded', 2),
        ('rde_ddp', 'rde_sharded', 1),
        ('blip2_ddp', 'blip2_sharded', 1),
        ('blip2_ddp', 'blip2_offloaded', 1),
    ],
)
def test_weights_and_metrics_are_those_of_ddp(runs, plain, spread, epoch):
    wanted = weights(runs / plain / f'epoch_{epoch}.pth')
    found = weights(runs / spread / f'epoch_{epoch}.pth')
    same(wanted, found, atol=1e-5, rtol=1e-5)
    wanted, found = numbers(runs / plain), numbers(runs / spread)
    assert found['losses'] == pytest.approx(wanted['losses'], 1e-4)
    for name in ('val', 'test'):
        assert found[name] == wanted[name]


def test_they_do_train(runs):
    one, two = (weights(runs / f'sharded/epoch_{i}.pth') for i in (1, 2))
    moved = {k for k in one if (one[k] - two[k]).abs().max() > 1e-3}
    for part in ('vision', 'bert', 'itm_head', 'lora_A', 'temperature'):
        assert any(part in name for name in moved), part


def test_a_resumed_run_is_exact(runs):
    wanted = weights(runs / 'sharded/epoch_2.pth')
    same(wanted, weights(runs / 'resumed/epoch_2.pth'))
    once, again = numbers(runs / 'sharded'), numbers(runs / 'resumed')
    assert again['test'] == once['test']
    assert again['val'][-1] == once['val'][-1]


def test_the_adapter_file_is_that_of_the_checkpoint(runs):
    small = weights(runs / 'sharded/adapter_epoch_2.pth')
    whole = weights(runs / 'sharded/epoch_2.pth')
    assert any(key.endswith('.lora_B') for key in small)
    assert len(small) < len(whole)
    same(small, {key: whole[key] for key in small})


def test_the_best_checkpoint_keeps_all_digits(runs):
    """It is saved while the model is collected to compute in bfloat16."""
    (best,) = (runs / 'bfloat16').glob('best_*.pth')
    found, wanted = weights(best), weights(runs / 'bfloat16/epoch_1.pth')
    same(wanted, found)
    assert all(value.dtype != torch.bfloat16 for value in found.values())
    moved = found['encoder.module.bert.bert.embeddings.word_embeddings.weight']
    assert (moved != moved.bfloat16().float()).any()


def test_bfloat16_computes_nearly_the_same(runs):
    """In the first step, where the weights are still equal."""
    first = numbers(runs / 'bfloat16')['losses'][0]
    wanted = numbers(runs / 'ddp')['losses'][0]
    assert first == pytest.approx(wanted, rel=0.02)
    assert first != wanted
