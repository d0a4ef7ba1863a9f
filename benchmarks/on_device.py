"""What ranks and scores, on the CPU and on a GPU, in one run.

    python benchmarks/on_device.py {ranking,relevance,reranking,all}
        [--device auto|cpu|cuda] [--rounds 3] [--small] [--json FILE]

Prints a Markdown table: seconds on the CPU and on the device (best of rounds
that take turns), the largest difference of their results, and what the device
held at its peak. ``--small`` runs corners of the data, to try the program.
"""

import argparse
import json
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import filtering
import ranking
import reranking
import torch

from mmtpr.evaluation import rank_features
from mmtpr.filtering import relevance_rank

SMALL = 40


def parts_of_ranking(small: bool) -> dict[str, tuple]:
    """Ranking by single vectors and by the best of 32."""
    found = {}
    for case in ('features', 'tokens-6'):
        data = ranking.make_data(case)
        data = tuple(x[:SMALL] for x in data) if small else data
        topk = ranking.CASES[case][4] or 1

        def run(device: str, data=data, topk=topk) -> torch.Tensor:
            numbers = rank_features(
                *(x.to(device) for x in data), topk_tokens=topk
            )
            return torch.tensor([*numbers.values()])

        size = ' x '.join(f'{len(x):,}' for x in (data[0], data[2]))
        found[f'ranking, {size}, best {topk} of {data[2].shape[1]}'] = run
    return found


def parts_of_relevance(small: bool) -> dict[str, Callable]:
    """Ranks of pairs among a bank of 10,000."""
    data = filtering.make_data()
    data = tuple(x[:SMALL] for x in data) if small else data

    def run(device: str) -> torch.Tensor:
        return relevance_rank(*(x.to(device) for x in data)).cpu().float()

    pairs, bank = len(data[0]), len(data[2])
    return {f'relevance, {pairs:,} pairs x {bank:,} captions': run}


def parts_of_reranking(small: bool) -> dict[str, Callable]:
    """Matching scores of the best candidates of some queries."""
    sizes = dict(queries=16, gallery=48, candidates=32, width=768)
    if small:
        sizes.update(queries=4, gallery=8, candidates=4, width=192)
    args = SimpleNamespace(pair_batch=256, text_batch=256, **sizes)
    model = reranking.build(args.width)
    data = reranking.make_data('usual lengths', args)

    def run(device: str) -> torch.Tensor:
        model.to(device)
        moved = tuple(x.to(device) for x in data)
        return reranking.ours(model, moved, args).cpu()

    name = f'{args.queries} queries x {args.candidates} candidates'
    return {f're-ranking, {name}, width {args.width}': run}


PARTS: dict[str, Callable[[bool], dict]] = dict(
    ranking=parts_of_ranking,
    relevance=parts_of_relevance,
    reranking=parts_of_reranking,
)


def seconds(run: Callable, device: str) -> tuple[float, torch.Tensor]:
    """Time one call; a GPU is waited for."""
    if device == 'cuda':
        torch.cuda.synchronize()
    start = time.perf_counter()
    out = run(device)
    if device == 'cuda':
        torch.cuda.synchronize()
    return time.perf_counter() - start, out


def measure(run: Callable, device: str, rounds: int) -> dict[str, Any]:
    """Time both, taking turns, and compare."""
    times: dict[str, list[float]] = {'cpu': [], device: []}
    out: dict[str, torch.Tensor] = {}
    run(device)  # libraries are loaded, kernels chosen
    if device == 'cuda':
        torch.cuda.reset_peak_memory_stats()
    for _ in range(rounds):
        for name in times:
            taken, out[name] = seconds(run, name)
            times[name].append(taken)
    peak = torch.cuda.max_memory_allocated() if device == 'cuda' else None
    return dict(
        cpu_seconds=min(times['cpu']),
        device_seconds=min(times[device]),
        difference=float((out['cpu'] - out[device]).abs().max()),
        peak_mib=None if peak is None else peak / 2**20,
    )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('part', choices=[*PARTS, 'all'])
    parser.add_argument(
        '--device', choices=['auto', 'cpu', 'cuda'], default='auto'
    )
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--small', action='store_true')
    parser.add_argument('--json', help='file for the numbers')
    args = parser.parse_args()
    has_gpu = torch.cuda.is_available()
    device = args.device
    if device == 'auto':
        device = 'cuda' if has_gpu else 'cpu'
    name = torch.cuda.get_device_name() if device == 'cuda' else 'CPU'
    print(f'torch {torch.__version__}, {name}\n')
    print('| what | CPU s | device s | largest difference | peak MiB |')
    print('|---|---:|---:|---:|---:|')
    numbers = {}
    for part in PARTS if args.part == 'all' else [args.part]:
        for title, run in PARTS[part](args.small).items():
            found = numbers[title] = measure(run, device, args.rounds)
            peak = found['peak_mib']
            print(
                f'| {title} | {found["cpu_seconds"]:.4f} '
                f'| {found["device_seconds"]:.4f} '
                f'| {found["difference"]:.1e} '
                f'| {"-" if peak is None else f"{peak:.0f}"} |',
                flush=True,
            )
    if args.json:
        with open(args.json, 'w', encoding='utf-8') as file:
            json.dump(dict(device=name, parts=numbers), file, indent=1)


if __name__ == '__main__':
    main()
