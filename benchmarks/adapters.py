"""Time and memory of adapted linear layers, side by side.

    python benchmarks/adapters.py

Forward plus backward of one layer as in the middle of a network: the input
needs a gradient, the output's gradient is given. Compared are the plain layer
trained whole, LoRA, DoRA, WoRA, and WoRA with its weight rebuilt from the
definition in every forward pass. float32 and two threads on a CPU; bfloat16
autocast on a GPU when there is one.

Times are medians over interleaved rounds: each round runs every kind once, in
rotating order, so that other load on the machine hits all alike. Ratios are
medians of the ratios within a round. Memory is the peak of what forward and
backward allocate on top of parameters, input and output gradient, as counted
by torch's allocator (through the profiler on CPU).

Launches are the kernels that a layer's forward and backward under bfloat16
autocast would start on an accelerator; host time is what starting them takes,
measured on layers so small that the arithmetic takes none, and on an image
tower of depth 12 with 72 adapted layers. peft is compared where installed.
With --peft, all kinds are compared with peft's own layers, linear and
convolutions, forward, backward and memory (adapters_beside_peft.py).
"""

import argparse
import copy
import math
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from open_clip import CLIP
from torch import Tensor, nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from mmtpr.models.adapters import (
    DoRALinear,
    LoRALinear,
    WoRALinear,
    inject_adapters,
)
from mmtpr.testing import LaunchCounter

try:
    from peft import LoraConfig, inject_adapter_in_model
except ImportError:
    LoraConfig = None

SHAPES = ((768, 768), (768, 3072))
TOKENS = (256, 1536, 6144)
KINDS = ('full', 'LoRA', 'DoRA', 'WoRA', 'WoRA rebuilt')


class RebuiltWoRALinear(WoRALinear):
    """WoRA as written in the paper, the weight built in every forward."""

    def forward(self, x: Tensor) -> Tensor:
        """Build the weight, then apply it."""
        low = self.lora_B @ self.lora_A
        direction = self.beta * self.linear.weight + self.alpha * low
        norm = direction.norm(dim=0, keepdim=True)
        weight = self.magnitude * direction / norm
        return F.linear(x, weight, self.linear.bias)


def build(shape: tuple[int, int], rank: int, device: str) -> dict:
    """One layer of each kind around the same weight."""
    torch.manual_seed(0)
    linear = nn.Linear(*shape, device=device)
    adapters = (LoRALinear, DoRALinear, WoRALinear, RebuiltWoRALinear)
    layers = [copy.deepcopy(linear)]
    for adapter in adapters:
        layers.append(adapter(copy.deepcopy(linear), rank=rank))
        nn.init.normal_(layers[-1].lora_B, std=0.02)
    return dict(zip(KINDS, layers, strict=True))


class Step:
    """Forward and backward of one layer."""

    def __init__(
        self, layer: nn.Module, x: Tensor, grad: Tensor, half: bool
    ) -> None:
        self.layer, self.x, self.grad, self.half = layer, x, grad, half
        trained = (p for p in layer.parameters() if p.requires_grad)
        self.inputs = [x, *trained]

    def clear(self) -> None:
        """Forget the gradients."""
        for tensor in self.inputs:
            tensor.grad = None

    def forward(self) -> Tensor:
        """Compute the output."""
        kind = self.x.device.type
        with torch.autocast(kind, torch.bfloat16, enabled=self.half):
            return self.layer(self.x)

    def __call__(self) -> None:
        """Run once."""
        y = self.forward()
        if y.requires_grad:  # not that of a frozen layer on images
            y.backward(self.grad.to(y.dtype))


def clock(step: Step, device: str) -> float:
    """Milliseconds of one step."""
    step.clear()
    if device == 'cuda':
        torch.cuda.synchronize()
    start = time.perf_counter()
    step()
    if device == 'cuda':
        torch.cuda.synchronize()
    return (time.perf_counter() - start) * 1e3


@contextmanager
def silence() -> Iterator[None]:
    """Drop what native code writes to stderr: the profiler is talkative."""
    kept = os.dup(2)
    with open(os.devnull, 'wb') as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def peak_memory(step: Step, device: str) -> float:
    """MiB that a step holds at most beyond what was there before."""
    step.clear()
    if device == 'cuda':
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    cpu = [ProfilerActivity.CPU]
    with silence(), profile(activities=cpu, profile_memory=True) as profiler:
        step()
    events = [
        (event.start_ns(), event.nbytes())
        for event in profiler.profiler.kineto_results.events()
        if event.name() == '[memory]'
    ]
    held = peak = 0
    for _, size in sorted(events, key=lambda event: event[0]):
        held += size
        peak = max(peak, held)
    return peak / 2**20


def measure(
    shape: tuple[int, int], tokens: int, rank: int, rounds: int, device: str
) -> dict[str, dict]:
    """Times of all rounds and the peak memory, by kind."""
    layers = build(shape, rank, device)
    x = torch.randn(tokens, shape[0], device=device, requires_grad=True)
    grad = torch.randn(tokens, shape[1], device=device)
    half = device == 'cuda'
    steps = {kind: Step(layers[kind], x, grad, half) for kind in KINDS}
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for number in range(-3, rounds):
        shift = number % len(KINDS)
        for kind in KINDS[shift:] + KINDS[:shift]:
            elapsed = clock(steps[kind], device)
            if number >= 0:
                times[kind].append(elapsed)
    return {
        kind: dict(times=times[kind], memory=peak_memory(steps[kind], device))
        for kind in KINDS
    }


def ratio(result: dict, above: str, below: str) -> float:
    """Median over rounds of the time of one kind over another's."""
    pairs = zip(result[above]['times'], result[below]['times'], strict=True)
    return statistics.median(a / b for a, b in pairs)


def add_peft(module: nn.Module, names: list[str], use_dora: bool) -> nn.Module:
    """Adapt layers by peft, whose DoRA has one magnitude an output."""
    config = LoraConfig(r=8, target_modules=names, use_dora=use_dora)
    return inject_adapter_in_model(config, module)


def small_layers(device: str) -> dict[str, nn.Module]:
    """One layer of each kind whose arithmetic takes no time."""
    layers = build((32, 32), 8, device)
    if LoraConfig is not None:
        for name, use_dora in (('peft LoRA', False), ('peft DoRA', True)):
            module = nn.Sequential(nn.Linear(32, 32, device=device))
            layers[name] = add_peft(module, ['0'], use_dora)
    return layers


def towers(device: str) -> dict[str, nn.Module]:
    """Image towers of depth 12, narrow, with 72 adapted layers each."""
    vision = dict(
        layers=12, width=32, head_width=16, patch_size=16, image_size=32
    )
    text = dict(context_length=8, vocab_size=32, width=32, heads=2, layers=1)
    tower = CLIP(embed_dim=32, vision_cfg=vision, text_cfg=text).visual
    found = {'full': tower}
    targets = [dict(type=r'transformer\..*')]
    for kind in ('LoRA', 'DoRA', 'WoRA'):
        found[kind] = copy.deepcopy(tower).requires_grad_(False)
        inject_adapters(found[kind], dict(type=kind), targets)
    found['WoRA rebuilt'] = copy.deepcopy(found['WoRA'])
    for module in found['WoRA rebuilt'].modules():
        if isinstance(module, WoRALinear):
            module.__class__ = RebuiltWoRALinear
    return {kind: module.to(device) for kind, module in found.items()}


def half_step(module: nn.Module, x: Tensor) -> Step:
    """Step under bfloat16 autocast, for any output."""
    step = Step(module, x, x, half=True)
    step.grad = torch.randn_like(step.forward())
    return step


def host_times(
    modules: dict[str, nn.Module], x: Tensor, rounds: int
) -> dict[str, float]:
    """Median seconds of the host a step, without waiting for a device."""
    times: dict[str, list[float]] = {kind: [] for kind in modules}
    steps = {kind: half_step(module, x) for kind, module in modules.items()}
    for number in range(-3, rounds):
        for kind, step in steps.items():
            step.clear()
            if x.is_cuda:
                torch.cuda.synchronize()
            # Of this process, whatever else the machine does meanwhile.
            start = time.process_time()
            step()
            if number >= 0:
                times[kind].append(time.process_time() - start)
    return {kind: statistics.median(t) for kind, t in times.items()}


def report_host(device: str, rounds: int) -> None:
    """Print launches and host times."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    layers, whole = small_layers(device), towers(device)
    x = torch.randn(8, 32, device=device, requires_grad=True)
    images = torch.randn(2, 3, 32, 32, device=device, requires_grad=True)
    times = host_times(layers, x, 40 * rounds)
    tower_times = host_times(whole, images, max(rounds, 7))
    print(f'\nbfloat16 autocast on {device}, one thread\n')
    print('| kind | launches a layer | host us a layer | host ms a tower |')
    print('|---|---:|---:|---:|')
    for kind, layer in layers.items():
        step = half_step(layer, x)
        step.clear()
        with LaunchCounter() as counter:
            step()
        tower = tower_times.get(kind)
        print(
            f'| {kind} | {counter.total} | {times[kind] * 1e6:.0f} '
            f'| {"-" if tower is None else f"{tower * 1e3:.1f}"} |'
        )
    print(
        f"\nWoRA's host time over LoRA's: {times['WoRA'] / times['LoRA']:.2f}"
        ' a layer (to reach: at most 2, with at most 45 launches).'
    )
    torch.set_num_threads(threads)


def report(results: dict[tuple, dict], device: str, rank: int) -> None:
    """Print the table and the geometric means."""
    what = 'float32' if device == 'cpu' else 'bfloat16 autocast'
    where = (
        f'CPU, {torch.get_num_threads()} threads'
        if device == 'cpu'
        else torch.cuda.get_device_name()
    )
    print(f'{where}, {what}, rank {rank}, torch {torch.__version__}')
    print('\nForward + backward, ms (peak MiB)\n')
    print(
        f'| tokens | layer | {" | ".join(KINDS)} | rebuilt / WoRA '
        '| WoRA / LoRA |'
    )
    print('|' + '---|' * (len(KINDS) + 4))
    gains, costs = [], []
    for (tokens, shape), result in results.items():
        cells = [
            f'{statistics.median(result[k]["times"]):.2f} '
            f'({result[k]["memory"]:.1f})'
            for k in KINDS
        ]
        gains.append(ratio(result, 'WoRA rebuilt', 'WoRA'))
        costs.append(ratio(result, 'WoRA', 'LoRA'))
        print(
            f'| {tokens} | {shape[0]} -> {shape[1]} | {" | ".join(cells)} '
            f'| {gains[-1]:.2f} | {costs[-1]:.2f} |'
        )
    mean = statistics.geometric_mean
    print(
        f'\nWoRA over rebuilt: {mean(gains):.2f} times faster in the '
        f'geometric mean, {min(gains):.2f} in the worst shape '
        '(to reach: 1.3 and 1).'
    )
    print(
        f"WoRA's time over LoRA's: {mean(costs):.2f} in the geometric "
        'mean (to reach: at most 1.25).'
    )


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--rank', type=int, default=8)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument(
        '--rounds', type=int, default=15, help='at the largest size'
    )
    parser.add_argument(
        '--device', choices=['auto', 'cpu', 'cuda'], default='auto'
    )
    only = 'measure launches and host times only'
    parser.add_argument('--host-only', action='store_true', help=only)
    parser.add_argument(
        '--peft', action='store_true', help="compare with peft's layers only"
    )
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    devices = ['cpu'] if args.device == 'auto' else [args.device]
    if args.device == 'auto' and torch.cuda.is_available():
        devices.append('cuda')
    for device in devices:
        if args.peft:
            from adapters_beside_peft import report_peft

            report_peft(args.rank, args.rounds, device)
            continue
        if args.host_only:
            report_host(device, args.rounds)
            continue
        results = {}
        for tokens in TOKENS:
            for shape in SHAPES:
                size = tokens * shape[1] / (TOKENS[-1] * SHAPES[-1][1])
                rounds = math.ceil(args.rounds * min(4, size**-0.5))
                results[tokens, shape] = measure(
                    shape, tokens, args.rank, rounds, device
                )
        report(results, device, args.rank)
        report_host(device, args.rounds)


if __name__ == '__main__':
    main()
