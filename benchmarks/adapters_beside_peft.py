"""Adapted layers beside those of peft, on the same shapes in the same run.

    python benchmarks/adapters.py --peft

Every pair has the same frozen weight, rank and input. Forward and backward
are timed apart; each round runs every kind once, in rotating order, and ratios
are medians of the ratios within a round. Memory is the peak of what both
allocate on top of parameters, input and output gradient. "frozen" is the plain
layer, which no adapter can be faster than: what peft takes over it is the most
that any implementation could gain.
"""

import copy
import math
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from adapters import Step, peak_memory
from torch import Tensor, nn

from mmtpr.models.adapters import (
    DoRAConv2d,
    DoRALinear,
    LoRAConv2d,
    LoRALinear,
    OFTLinear,
    WoRAConv2d,
    WoRALinear,
)

#: in, out, tokens.
LINEARS = [
    (inputs, outputs, tokens)
    for tokens in (256, 1536, 6144)
    for inputs, outputs in ((768, 768), (768, 3072))
]
#: in, out, kernel, options, batch, height and width of the input: the stages
#: of a ResNet-50 on 256 x 128 images, its 1 x 1 layers, patches of a ViT.
CONVS = [
    (64, 64, 3, dict(padding=1), 16, (64, 32)),
    (256, 256, 3, dict(padding=1), 16, (16, 8)),
    (512, 512, 3, dict(padding=1, stride=2), 16, (16, 8)),
    (1024, 256, 1, dict(), 16, (16, 8)),
    (3, 768, 16, dict(stride=16), 16, (384, 128)),
]
#: Ours, theirs, and how many times faster ours is to be.
PAIRS = (
    ('LoRA', 'peft LoRA', 1 / 1.05),
    ('rslora', 'peft rslora', 1 / 1.05),
    ('DoRA', 'peft DoRA', 1.5),
    ('DoRA in', 'peft DoRA', 1.5),
    ('WoRA', 'peft DoRA', 1.5),
    ('WoRA out', 'peft DoRA', 1.5),
    ('OFT', 'peft OFT', None),
    ('OFT series', 'peft OFT series', None),
)


def _ours(rank: int) -> dict[str, Callable[[Any], nn.Module]]:
    """Builders by kind; DoRA as peft has it, WoRA as the paper has it."""

    def low(linear: Any, conv: Any, **options: Any) -> Callable:
        def build(layer: nn.Module) -> nn.Module:
            kind = conv if isinstance(layer, nn.Conv2d) else linear
            return kind(layer, rank=rank, **options)

        return build

    return {
        'LoRA': low(LoRALinear, LoRAConv2d),
        'rslora': low(LoRALinear, LoRAConv2d, rslora=True),
        'DoRA': low(DoRALinear, DoRAConv2d, norm_dim='out', detach_norm=True),
        'DoRA in': low(DoRALinear, DoRAConv2d),
        'WoRA': low(WoRALinear, WoRAConv2d),
        'WoRA out': low(WoRALinear, WoRAConv2d, norm_dim='out'),
        'OFT': partial(OFTLinear, block_size=32),
        'OFT series': partial(OFTLinear, block_size=32, neumann_terms=5),
    }


def _peft(rank: int) -> dict[str, Any]:
    """Configs of peft by kind."""
    import peft

    low = partial(peft.LoraConfig, r=rank, target_modules=['0'])
    turn = partial(peft.OFTConfig, oft_block_size=32, target_modules=['0'])
    return {
        'peft LoRA': low(),
        'peft rslora': low(use_rslora=True),
        'peft DoRA': low(use_dora=True),
        'peft OFT': turn(use_cayley_neumann=False),
        'peft OFT series': turn(use_cayley_neumann=True),
    }


def kinds_of(plain: nn.Module, rank: int) -> dict[str, nn.Module]:
    """One layer of each kind around the same weight, trained a little."""
    from peft import inject_adapter_in_model

    found = {'frozen': copy.deepcopy(plain).requires_grad_(False)}
    for name, build in _ours(rank).items():
        if isinstance(plain, nn.Conv2d) and 'OFT' in name:
            continue
        found[name] = build(copy.deepcopy(plain))
    for name, config in _peft(rank).items():
        if isinstance(plain, nn.Conv2d) and 'OFT' in name:
            continue
        found[name] = inject_adapter_in_model(
            config, nn.Sequential(copy.deepcopy(plain))
        )
    for module in found.values():
        for name, parameter in module.named_parameters():
            if 'lora_B' in name or 'oft_R' in name:
                nn.init.normal_(parameter, std=0.02)
    return found


def time_step(step: Step, device: str) -> tuple[float, float]:
    """Milliseconds of forward and backward."""

    def now() -> float:
        if device == 'cuda':
            torch.cuda.synchronize()
        return time.perf_counter() * 1e3

    step.clear()
    start = now()
    y = step.forward()
    middle = now()
    if y.requires_grad:  # not that of a frozen layer on images
        y.backward(step.grad.to(y.dtype))
    return middle - start, now() - middle


def measure(
    plain: nn.Module, x: Tensor, rank: int, rounds: int, device: str
) -> dict[str, dict[str, Any]]:
    """Times of all rounds and the peak of memory, by kind."""
    layers = kinds_of(plain.to(device), rank)
    # An image needs no gradient, and is the input of three channels.
    x = x.to(device).requires_grad_(x.dim() == 2 or x.shape[1] != 3)
    with torch.no_grad():
        grad = torch.randn_like(plain(x))
    half = device == 'cuda'
    steps = {n: Step(m.to(device), x, grad, half) for n, m in layers.items()}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    names = list(steps)
    for number in range(-2, rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            both = time_step(steps[name], device)
            if number >= 0:
                times[name].append(both)
    return {
        name: dict(times=times[name], memory=peak_memory(steps[name], device))
        for name in names
    }


def gain(result: dict[str, dict[str, Any]], ours: str, theirs: str) -> float:
    """How many times faster ours is, forward and backward together."""
    pairs = zip(result[theirs]['times'], result[ours]['times'], strict=True)
    return statistics.median(sum(a) / sum(b) for a, b in pairs)


def report_peft(rank: int, rounds: int, device: str) -> None:
    """Measure, print a table a shape and the geometric means."""
    torch.manual_seed(0)
    what = 'float32' if device == 'cpu' else 'bfloat16 autocast'
    threads = torch.get_num_threads()
    print(f'{device}, {threads} threads, {what}, torch {torch.__version__}')
    results: dict[str, dict[str, dict[str, Any]]] = {}
    for inputs, outputs, tokens in LINEARS:
        plain, x = nn.Linear(inputs, outputs), torch.randn(tokens, inputs)
        name = f'linear {inputs} -> {outputs}, {tokens} tokens'
        share = tokens * outputs / (6144 * 3072)
        count = math.ceil(rounds * min(4, share**-0.5))
        results[name] = measure(plain, x, rank, count, device)
        _print_shape(name, results[name])
    for inputs, outputs, size, options, batch, places in CONVS:
        conv = nn.Conv2d(inputs, outputs, size, **options)
        x = torch.randn(batch, inputs, *places)
        name = (
            f'conv {size} x {size}, {inputs} -> {outputs}, {batch} x '
            f'{places[0]} x {places[1]}'
        )
        results[name] = measure(conv, x, rank, 2 * rounds, device)
        _print_shape(name, results[name])
    _print_gains(results)


def _print_shape(name: str, result: dict[str, dict[str, Any]]) -> None:
    print(f'\n{name}\n\n| kind | forward ms | backward ms | peak MiB |')
    print('|---|---:|---:|---:|')
    for kind, found in result.items():
        forward, backward = (
            statistics.median(t[i] for t in found['times']) for i in (0, 1)
        )
        print(
            f'| {kind} | {forward:.2f} | {backward:.2f} '
            f'| {found["memory"]:.1f} |',
            flush=True,
        )


def _print_gains(results: dict[str, dict[str, dict[str, Any]]]) -> None:
    print('\nTimes faster than peft, forward and backward together\n')
    print('| ours | peft | linear | convolutions | all | least | to reach |')
    print('|---|---|---:|---:|---:|---:|---:|')
    most = [('frozen', theirs, None) for _, theirs, _ in PAIRS]
    for ours, theirs, wanted in (*PAIRS, *dict.fromkeys(most)):
        gains = {
            name: gain(result, ours, theirs)
            for name, result in results.items()
            if ours in result and theirs in result
        }
        groups = (
            [g for n, g in gains.items() if n.startswith('linear')],
            [g for n, g in gains.items() if n.startswith('conv')],
            [*gains.values()],
        )
        means = ' | '.join(
            f'{statistics.geometric_mean(group):.2f}' if group else '-'
            for group in groups
        )
        least = min(gains.values())
        goal = '-' if wanted is None else f'{wanted:.2f}'
        print(f'| {ours} | {theirs} | {means} | {least:.2f} | {goal} |')
