import os

import pytest
import torch
from mmengine.config import Config

from mmtpr.engine import processes
from mmtpr.utils.errors import LaunchError


@pytest.fixture
def cpu_processes(monkeypatch):
    """No accelerator, an empty environment, and no real process group."""
    calls = []
    monkeypatch.setattr(processes, 'get_device', lambda: 'cpu')
    monkeypatch.setattr(
        torch.distributed,
        'init_process_group',
        lambda *args, **kwargs: calls.append((args, kwargs)),
    )
    names = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT')
    for name in names:
        monkeypatch.setenv(name, '')  # so that it is restored afterwards
        monkeypatch.delenv(name)
    return calls


def test_gloo_and_ddp_on_a_cpu(cpu_processes, monkeypatch):
    for name, value in dict(RANK='1', WORLD_SIZE='2').items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv('MASTER_ADDR', 'here')
    cfg = Config(
        dict(
            find_unused_parameters=True,
            env_cfg=dict(dist_cfg=dict(backend='nccl', timeout=90)),
        )
    )
    processes.start_processes(cfg, 'pytorch')
    ((args, kwargs),) = cpu_processes
    assert args == ('gloo',)
    assert kwargs['timeout'].total_seconds() == 90
    assert cfg.launcher == 'pytorch'
    assert cfg.model_wrapper_cfg == dict(
        type='MMDistributedDataParallel',
        broadcast_buffers=False,
        find_unused_parameters=True,
        device_ids=None,
    )


def test_slurm_and_mpi_environments(cpu_processes, monkeypatch):
    slurm = dict(PROCID='3', NTASKS='4', NODELIST='n[1-2]', LOCALID='1')
    for name, value in slurm.items():
        monkeypatch.setenv(f'SLURM_{name}', value)
    monkeypatch.setattr(processes, '_first_host', lambda nodes: f'of {nodes}')
    cfg = Config(dict(model_wrapper_cfg=dict(type='Own', static_graph=True)))
    processes.start_processes(cfg, 'slurm')
    env = os.environ
    assert (env['RANK'], env['WORLD_SIZE'], env['LOCAL_RANK']) == (
        *('3', '4', '1'),
    )
    assert env['MASTER_ADDR'] == 'of n[1-2]'
    assert cfg.model_wrapper_cfg == dict(
        type='Own', static_graph=True, device_ids=None
    )
    with pytest.raises(LaunchError, match='OMPI_COMM_WORLD_RANK'):
        processes.start_processes(cfg, 'mpi')
    assert len(cpu_processes) == 1


def test_more_processes_than_gpus(monkeypatch):
    monkeypatch.setattr(processes, 'get_device', lambda: 'cuda')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    monkeypatch.setenv('LOCAL_RANK', '1')
    cfg = Config(dict())
    processes.start_processes(cfg, 'pytorch')
    assert 'model_wrapper_cfg' not in cfg
    monkeypatch.setenv('LOCAL_RANK', '2')
    with pytest.raises(LaunchError, match=r'there are 2\. Start at most 2'):
        processes.start_processes(cfg, 'pytorch')


def test_tools_without_a_runner_join_as_the_config_says(monkeypatch):
    joined = []
    monkeypatch.setattr(processes, 'get_device', lambda: 'cuda')
    monkeypatch.setattr(processes, '_check_device', lambda launcher: None)
    monkeypatch.setattr(
        processes, 'init_dist', lambda *args, **kw: joined.append((args, kw))
    )
    settings = dict(backend='gloo', timeout=90)
    cfg = Config(dict(env_cfg=dict(dist_cfg=settings)))
    processes.join_processes(cfg, 'pytorch', patience=5000)
    assert joined == [(('pytorch',), settings)]
    empty = dict(), dict(env_cfg=None), dict(env_cfg=dict(dist_cfg=None))
    for content in empty:
        processes.join_processes(Config(content), 'pytorch', patience=5000)
        assert joined.pop() == (('pytorch',), dict(timeout=5000))
    processes.join_processes(Config(dict()), 'none', patience=5000)
    assert len(joined) == 1
