"""Joining and leaving a run of several processes."""

import datetime
import os
import subprocess

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import init_dist

from mmtpr.utils.errors import LaunchError


def start_processes(cfg: Config, launcher: str) -> None:
    """Prepare this process for its part in a run of several.

    Where there is no accelerator, mmengine's launchers fail; there, start
    gloo and let DDP work on the CPU.

    Args:
        cfg (Config): Changed in place.
        launcher (str): ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.

    Raises:
        LaunchError: If this node has fewer GPUs than processes, or the
            launcher has not set the environment.
    """
    cfg.launcher = launcher
    if launcher == 'none':
        return
    if get_device() != 'cpu':
        _check_device(launcher)
        return
    _set_environment(launcher)
    settings = (cfg.get('env_cfg') or {}).get('dist_cfg') or {}
    seconds = settings.get('timeout')
    timeout = datetime.timedelta(seconds=seconds) if seconds else None
    torch.distributed.init_process_group('gloo', timeout=timeout)
    wrap_on_cpus(cfg)


def wrap_on_cpus(cfg: Config) -> None:
    """Let DDP work without devices, which mmengine numbers unasked.

    Args:
        cfg (Config): Changed in place: ``model_wrapper_cfg``.
    """
    wrapper = cfg.get('model_wrapper_cfg') or dict(
        type='MMDistributedDataParallel',
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
    kind = wrapper.get('type', 'MMDistributedDataParallel')
    if not str(kind).endswith('FullyShardedDataParallel'):
        wrapper = dict(wrapper, device_ids=None)
    cfg.model_wrapper_cfg = wrapper


def refuse_fsdp1(cfg: Config) -> None:
    """Stop where a config asks for FSDP1, which no model of mmtpr can have.

    mmengine 0.10 could leave parameters out by ``ignored_parameters``, but
    hands them on by a name that torch has no more.

    Args:
        cfg (Config): The config.

    Raises:
        LaunchError: If it has mmengine's strategy or wrapper of FSDP1.
    """
    for key in ('strategy', 'model_wrapper_cfg'):
        kind = str((cfg.get(key) or {}).get('type')).rpartition('.')[2]
        if kind in ('FSDPStrategy', 'MMFullyShardedDataParallel'):
            raise LaunchError(
                f'{key} has "{kind}", which is FSDP1 of torch and refuses '
                'parameters without a dimension, such as the temperature of '
                'every encoder of mmtpr: take runner_type and strategy out '
                'and set model_wrapper_cfg=dict('
                "type='mmtpr.FullyShardedDataParallel'), which is FSDP2."
            )


def join_processes(
    cfg: Config, launcher: str, patience: int | None = None
) -> None:
    """Become one of several processes without a runner.

    What mmengine's runner does when it is built, for tools that have none.

    Args:
        cfg (Config): ``env_cfg.dist_cfg`` holds the backend, ``timeout`` in
            seconds and whatever else the process group takes; changed in
            place.
        launcher (str): See :func:`start_processes`.
        patience (int, optional): Seconds to wait for another process, where
            the config does not say. Defaults to None, torch's own.

    Raises:
        LaunchError: See :func:`start_processes`.
    """
    # Either may be None, as where a config takes away what its base has.
    cfg.env_cfg = cfg.get('env_cfg') or {}
    cfg.env_cfg.dist_cfg = cfg.env_cfg.get('dist_cfg') or {}
    settings = cfg.env_cfg.dist_cfg
    if patience is not None:
        settings.setdefault('timeout', patience)
    start_processes(cfg, launcher)
    if launcher != 'none' and get_device() != 'cpu':
        init_dist(launcher, **settings)


def _check_device(launcher: str) -> None:
    if launcher != 'pytorch' or not torch.cuda.is_available():
        return
    rank, count = int(os.environ['LOCAL_RANK']), torch.cuda.device_count()
    if rank >= count:
        raise LaunchError(
            f'Process {rank} of this node has no GPU of its own: there are '
            f'{count}. Start at most {count}, or set CUDA_VISIBLE_DEVICES="" '
            'to run on the CPU.'
        )


def _set_environment(launcher: str) -> None:
    """Translate the launcher's environment into that of torchrun."""
    env = os.environ
    env.setdefault('MASTER_PORT', '29500')
    try:
        if launcher == 'slurm':
            env.setdefault('MASTER_ADDR', _first_host(env['SLURM_NODELIST']))
            env['RANK'] = env['SLURM_PROCID']
            env['WORLD_SIZE'] = env['SLURM_NTASKS']
            env['LOCAL_RANK'] = env.get('SLURM_LOCALID', '0')
        elif launcher == 'mpi':
            env.setdefault('MASTER_ADDR', '127.0.0.1')
            env['RANK'] = env['OMPI_COMM_WORLD_RANK']
            env['WORLD_SIZE'] = env['OMPI_COMM_WORLD_SIZE']
            env['LOCAL_RANK'] = env['OMPI_COMM_WORLD_LOCAL_RANK']
        env['RANK'], env['WORLD_SIZE'], env['MASTER_ADDR']
    except KeyError as error:
        raise LaunchError(
            f'--launcher {launcher}, but {error} is not set: start this '
            'through dist_*.sh (torchrun), slurm_*.sh or mpirun.'
        ) from None


def _first_host(nodes: str) -> str:
    command = ['scontrol', 'show', 'hostnames', nodes]
    hosts = subprocess.run(command, capture_output=True, text=True, check=True)
    return hosts.stdout.split()[0]


def end_processes() -> None:
    """Leave the process group at the end of a run that went well."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
