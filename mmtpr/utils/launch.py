"""What ``tools/train.py`` and ``tools/test.py`` do before the runner."""

import argparse
import datetime
import difflib
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import torch
from mmengine.config import Config, DictAction
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from .errors import LaunchError, NonFiniteLossError

_STANDARD_HOOKS = (
    'runtime_info',
    'timer',
    'sampler_seed',
    'logger',
    'param_scheduler',
    'checkpoint',
)


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that all tools with a runner share.

    Args:
        parser (ArgumentParser): The parser.
    """
    parser.add_argument('--work-dir', help='folder for logs and results')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override settings of the config, e.g. '
        'train_dataloader.batch_size=32 or key="[a,b]"',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what starts the processes; dist_*.sh and slurm_*.sh set it',
    )
    # torchrun and torch.distributed.launch spell it differently.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def load_config(
    path: str, options: dict | None = None, root: Path | None = None
) -> Config:
    """Read a config.

    Args:
        path (str): Path of the config, relative to the working directory or
            to ``root``.
        options (dict, optional): Overrides of single keys.
        root (Path, optional): Folder that holds ``configs/``.

    Returns:
        Config: The config with the overrides.

    Raises:
        LaunchError: If there is no such file, naming near ones.
    """
    places = [Path(path)] + ([root / path] if root else [])
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise LaunchError(
            f'The config "{path}" does not exist.{_near(places)}'
        )
    cfg = Config.fromfile(str(found))
    if options:
        cfg.merge_from_dict(options)
    return cfg


def _near(places: list[Path]) -> str:
    """Names of configs like the one asked for."""
    for place in places:
        if place.parent.is_dir():
            names = [p.name for p in place.parent.glob('*.py')]
            near = difflib.get_close_matches(place.name, names, n=3)
            if near:
                return f' In "{place.parent}" there is: {", ".join(near)}.'
    return ''


def set_work_dir(cfg: Config, work_dir: str | None, config: str) -> None:
    """Settle the work dir: command line, config, or the config's name.

    Args:
        cfg (Config): Changed in place.
        work_dir (str | None): From the command line.
        config (str): Path of the config.
    """
    if work_dir is not None:
        cfg.work_dir = work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(config).stem)


def enable_amp(cfg: Config) -> None:
    """Train in mixed precision: bfloat16, or float16 where a GPU lacks it.

    Args:
        cfg (Config): Changed in place.

    Raises:
        LaunchError: Without an accelerator, or if the config has an optimizer
            wrapper of its own kind.
    """
    if get_device() == 'cpu':
        raise LaunchError(
            '--amp needs a GPU: the AmpOptimWrapper of mmengine refuses '
            'CPUs, where mixed precision would not be faster anyway. Leave '
            '--amp out.'
        )
    wrapper = cfg.optim_wrapper
    kind = wrapper.get('type', 'OptimWrapper')
    if kind not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise LaunchError(
            f'--amp replaces an OptimWrapper, but the config has "{kind}".'
        )
    wrapper.type = 'AmpOptimWrapper'
    dtype = wrapper.setdefault('dtype', amp_dtype())
    if dtype == 'bfloat16':  # has the range of float32: nothing to scale
        wrapper.setdefault('loss_scale', dict(enabled=False))


def amp_dtype() -> str:
    """Name of the type that this machine computes fast in.

    Returns:
        str: ``'bfloat16'``, or ``'float16'`` on a GPU that only emulates it.
    """
    if not torch.cuda.is_available():
        return 'bfloat16'
    native = torch.cuda.is_bf16_supported(including_emulation=False)
    return 'bfloat16' if native else 'float16'


def enable_test_amp(cfg: Config) -> None:
    """Test under autocast, in the type that :func:`amp_dtype` names.

    Args:
        cfg (Config): Changed in place.
    """
    cfg.test_cfg.fp16 = True
    if torch.cuda.is_available():
        # mmengine's loops take the default type of the device.
        torch.set_autocast_dtype('cuda', getattr(torch, amp_dtype()))


def enable_auto_scale_lr(cfg: Config) -> None:
    """Scale the learning rate with the real batch size.

    Args:
        cfg (Config): Changed in place.

    Raises:
        LaunchError: If the config does not say which batch size its learning
            rate is meant for.
    """
    if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
        raise LaunchError(
            '--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) '
            'in the config: the batch size its learning rate is meant for.'
        )
    cfg.auto_scale_lr.enable = True


def tidy(cfg: Config) -> None:
    """Drop hooks set to None and vis backends that are not installed.

    Args:
        cfg (Config): Changed in place.
    """
    hooks = cfg.get('default_hooks') or {}
    for name in [n for n, hook in hooks.items() if hook is None]:
        if name not in _STANDARD_HOOKS:
            hooks.pop(name)
    backends = (cfg.get('visualizer') or {}).get('vis_backends') or []
    for backend in list(backends):
        kind = backend.get('type') if isinstance(backend, dict) else None
        if kind == 'TensorboardVisBackend' and not find_spec('tensorboard'):
            backends.remove(backend)
            print_log('No TensorBoard log: pip install tensorboard.')


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
    seconds = (cfg.get('env_cfg') or {}).get('dist_cfg', {}).get('timeout')
    timeout = datetime.timedelta(seconds=seconds) if seconds else None
    torch.distributed.init_process_group('gloo', timeout=timeout)
    wrapper = cfg.get('model_wrapper_cfg') or dict(
        type='MMDistributedDataParallel',
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
    cfg.model_wrapper_cfg = dict(wrapper, device_ids=None)


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


def build_runner(cfg: Config) -> Runner:
    """Build the runner that a config asks for.

    Args:
        cfg (Config): The config; ``runner_type`` names another class.

    Returns:
        Runner: The runner.
    """
    if cfg.get('compile') and find_spec('setuptools'):
        # torch.compile needs it, and it refuses to be imported after the
        # distutils that mmengine's report on the environment imports.
        import_module('setuptools')
    if 'runner_type' in cfg:
        return RUNNERS.build(cfg)
    return Runner.from_cfg(cfg)


@contextmanager
def short_errors() -> Iterator[None]:
    """End the program with one message where a traceback says no more."""
    try:
        yield
    except LaunchError as error:
        first = os.environ.get('RANK', '0') == '0'
        sys.exit(f'error: {error}' if first else 1)
    except NonFiniteLossError as error:
        print_log(str(error), logger='current', level=logging.ERROR)
        sys.exit(1)


def end_processes() -> None:
    """Leave the process group at the end of a run that went well."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
