"""A training step of a config at its batch, with random weights.

    python benchmarks/training_step.py configs/wora_cuhk.py [--amp] [--tf32]
        [--batch-size N] [--steps 20] [--device auto|cpu|cuda] [--tiny]
        [--json FILE]

Prints images a second, the share of the time that is neither a matrix product
nor attention, the kernels that take most of it, and the peak of the memory
beside the estimate of ``tools/analysis/estimate_memory.py``. The data are
drawn: neither weights nor a dataset are read. ``--tiny`` takes a tiny model,
to try the program.
"""

import argparse
import json
import tempfile
import time
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from torch.profiler import ProfilerActivity, profile

from mmtpr.checkpoints.spared_files import without_weights
from mmtpr.engine import launch
from mmtpr.registry import MODELS
from mmtpr.testing import shrink_config
from mmtpr.testing.gpu_memory import (
    draw_batch,
    estimate_memory,
    quiet_building,
)
from mmtpr.utils.precision import allow_tf32

#: Parts of the names of kernels that multiply matrices or attend.
PRODUCTS = (
    *('gemm', 'cutlass', 'xmma', 'nvjet', 'sm80_', 'sm90_', 'sm100_'),
    *('flash', 'fmha', 'attention', 'conv', 'cudnn', 'splitk'),
    *('aten::mm', 'aten::addmm', 'aten::bmm', 'aten::baddbmm', 'mkldnn'),
)


def build(args: argparse.Namespace, folder: str) -> tuple[Any, Any, dict]:
    """Model, optimizer and a batch."""
    cfg = Config.fromfile(args.config)
    init_default_scope(cfg.get('default_scope') or 'mmtpr')
    size = args.batch_size or cfg.train_dataloader.batch_size
    if args.tiny:
        cfg, size = shrink_config(cfg, folder), 4
    if args.amp and args.device == 'cuda':
        launch.enable_amp(cfg)
    torch.manual_seed(0)
    model = MODELS.build(without_weights(cfg.model.to_dict()))
    batch = draw_batch(cfg, model, size, folder)
    model.to(args.device).train()
    return model, build_optim_wrapper(model, cfg.optim_wrapper), batch


def wait(device: str) -> None:
    """Wait for the device."""
    if device == 'cuda':
        torch.cuda.synchronize()


def is_product(name: str) -> bool:
    """Tell whether a kernel multiplies matrices or attends."""
    return any(part in name.lower() for part in PRODUCTS)


def profiled(step: Any, device: str) -> dict[str, Any]:
    """Times of the kernels of two steps."""
    activities = [ProfilerActivity.CPU]
    if device == 'cuda':
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as prof:
        for _ in range(2):
            step()
        wait(device)
    key = (
        'self_device_time_total'
        if device == 'cuda'
        else ('self_cpu_time_total')
    )
    times = {x.key: getattr(x, key, 0) for x in prof.key_averages()}
    if device == 'cuda':  # the kernels, not the calls that start them
        times = {k: v for k, v in times.items() if not k.startswith('aten::')}
    total = sum(times.values()) or 1
    products = sum(v for k, v in times.items() if is_product(k))
    top = sorted(times.items(), key=lambda item: -item[1])[:12]
    return dict(
        outside_products=1 - products / total,
        top={k[:70]: v / total for k, v in top if v},
    )


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Time steps, profile two and read the memory."""
    with tempfile.TemporaryDirectory() as folder, quiet_building():
        model, wrapper, batch = build(args, folder)

        def step() -> None:
            model.train_step(batch, wrapper)

        for _ in range(3):
            step()
        wait(args.device)
        if args.device == 'cuda':
            torch.cuda.reset_peak_memory_stats()
        begin = time.perf_counter()
        for _ in range(args.steps):
            step()
        wait(args.device)
        taken = (time.perf_counter() - begin) / args.steps
        number = len(batch['data_samples'])
        found = dict(
            batch=number,
            seconds=taken,
            images_per_second=number / taken,
            **profiled(step, args.device),
        )
    if args.device == 'cuda':
        found['peak_gib'] = torch.cuda.max_memory_allocated() / 2**30
    found['estimated_gib'] = estimated(args, number)
    return found


def estimated(args: argparse.Namespace, number: int) -> float | None:
    """The estimate, GiB; None where this torch cannot make one."""
    cfg = Config.fromfile(args.config)
    dtype = 'bfloat16' if args.amp else 'float32'
    if args.tiny:
        return None
    try:
        first, _ = estimate_memory(cfg, number, (dtype,))
    except RuntimeError as error:
        print(f'no estimate: {error}')
        return None
    return first.peak / 2**30


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config')
    parser.add_argument('--batch-size', type=int)
    parser.add_argument('--steps', type=int, default=20)
    parser.add_argument('--amp', action='store_true')
    parser.add_argument('--tf32', action='store_true')
    parser.add_argument(
        '--device', choices=['auto', 'cpu', 'cuda'], default='auto'
    )
    parser.add_argument('--tiny', action='store_true')
    parser.add_argument('--json', help='file for the numbers')
    args = parser.parse_args()
    if args.device == 'auto':
        args.device = 'cuda' if torch.cuda.is_available() else 'cpu'
    allow_tf32(args.tf32)
    name = args.device == 'cuda' and torch.cuda.get_device_name()
    found = measure(args)
    print(f'{args.config}, torch {torch.__version__}, {name or "CPU"}')
    for key in ('batch', 'seconds', 'images_per_second', 'outside_products'):
        print(f'  {key}: {found[key]:.4g}')
    print(
        f'  peak GiB: {found.get("peak_gib")}, estimated: '
        f'{found["estimated_gib"]}'
    )
    print('\n| kernel | share |\n|---|---:|')
    for key, share in found['top'].items():
        print(f'| {key} | {100 * share:.1f} % |')
    if args.json:
        with open(args.json, 'w', encoding='utf-8') as file:
            json.dump(dict(found, device=name or 'CPU'), file, indent=1)


if __name__ == '__main__':
    main()
