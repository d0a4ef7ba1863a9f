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
from torch import Tensor, nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from mmtpr.models.adapters import (
    DoRALinear,
    LoRALinear,
    WoRALinear,
)

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

    def __init__(self, layer: nn.Module, x: Tensor, grad: Tensor) -> None:
        self.layer, self.x, self.grad = layer, x, grad
        trained = (p for p in layer.parameters() if p.requires_grad)
        self.inputs = [x, *trained]

    def clear(self) -> None:
        """Forget the gradients."""
        for tensor in self.inputs:
            tensor.grad = None

    def __call__(self) -> None:
        """Run once."""
        if self.x.is_cuda:
            with torch.autocast('cuda', torch.bfloat16):
                y = self.layer(self.x)
        else:
            y = self.layer(self.x)
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
    steps = {kind: Step(layers[kind], x, grad) for kind in KINDS}
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
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    devices = ['cpu'] if args.device == 'auto' else [args.device]
    if args.device == 'auto' and torch.cuda.is_available():
        devices.append('cuda')
    for device in devices:
        results = {}
        for tokens in TOKENS:
            for shape in SHAPES:
                size = tokens * shape[1] / (TOKENS[-1] * SHAPES[-1][1])
                rounds = math.ceil(args.rounds * min(4, size**-0.5))
                results[tokens, shape] = measure(
                    shape, tokens, args.rank, rounds, device
                )
        report(results, device, args.rank)


if __name__ == '__main__':
    main()
