"""Ranking by counting, against sorting and against the whole Q x G x T tensor.

Prints two Markdown tables (``--large`` adds the size of ITCPR). Times are the
best and the median of interleaved rounds in one process; memory is what the
resident set grows by at its peak while one variant runs, each in a process of
its own, after data and libraries are in.

    python benchmarks/ranking.py [--rounds 5] [--threads 2] [--large]
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from mmtpr.evaluation import rank_features, rank_metrics

# queries, gallery, persons, vectors per item (None: a ready matrix), k
CASES = {
    'matrix': (6156, 3074, 1000, None, 1),
    'features': (6156, 3074, 1000, 1, 1),
    'tokens-6': (551, 5128, 551, 32, 6),
    'tokens-1': (551, 5128, 551, 32, 1),
    'itcpr': (2202, 20510, 2000, 32, 6),
}
DIM = 256


def make_data(case):
    """Features (or their product) in which a person's items are alike."""
    queries, gallery, persons, tokens, _ = CASES[case]
    generator = torch.Generator().manual_seed(0)
    query_ids = torch.arange(queries) % persons
    gallery_ids = torch.arange(gallery) % persons
    centres = torch.randn(persons, DIM, generator=generator)
    query = torch.randn(queries, DIM, generator=generator)
    query = F.normalize(query.add_(centres[query_ids], alpha=0.5), dim=-1)
    items = torch.empty(gallery, tokens or 1, DIM)
    for item, person in zip(items, gallery_ids.tolist(), strict=True):
        item.normal_(generator=generator).add_(centres[person], alpha=0.5)
        item.div_(item.norm(dim=-1, keepdim=True))
    if tokens is None:
        return query @ items[:, 0].t(), query_ids, gallery_ids
    return query, query_ids, items, gallery_ids


def sorted_metrics(similarity, query_ids, gallery_ids):
    """R@1, R@5, R@10, mAP, mINP by argsort, as usually written."""
    order = similarity.argsort(dim=1, descending=True)
    match = gallery_ids[order] == query_ids[:, None]
    found = match.cumsum(1)
    total = match.sum(1)
    places = torch.arange(1, match.shape[1] + 1)
    recalls = [(found[:, k - 1] > 0).float().mean() for k in (1, 5, 10)]
    precision = (found / places * match).sum(1) / total
    last = (match * places).amax(1)
    numbers = [*recalls, precision.mean(), (total / last).mean()]
    names = ['R@1', 'R@5', 'R@10', 'mAP', 'mINP']
    return {n: 100 * v.item() for n, v in zip(names, numbers, strict=True)}


def plain(case, data):
    """The straightforward form."""
    if case == 'matrix':
        return sorted_metrics(*data)
    query, query_ids, items, gallery_ids = data
    scores = torch.einsum('qd,ntd->qnt', query, items)
    k = CASES[case][4]
    scores = scores.topk(k, dim=-1).values.mean(-1)
    return sorted_metrics(scores, query_ids, gallery_ids)


def ours(case, data):
    """The form in mmtpr."""
    if case == 'matrix':
        return rank_metrics(*data)
    return rank_features(*data, topk_tokens=CASES[case][4])


VARIANTS = {'plain': plain, 'mmtpr': ours}


def status(key):
    """A line of /proc/self/status in MiB."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f'/proc/self/status has no {key}.')


def small(data):
    """A corner of the data, enough to load the libraries."""
    if len(data) == 3:
        return data[0][:50, :50].clone(), data[1][:50], data[2][:50]
    return data[0][:50], data[1][:50], data[2][:50], data[3][:50]


def measure_memory(case, variant):
    """Child process: print the growth of the resident set in MiB."""
    data = make_data(case)
    VARIANTS[variant](case, small(data))
    Path('/proc/self/clear_refs').write_text('5')  # VmHWM = now
    before = status('VmRSS')
    VARIANTS[variant](case, data)
    print(status('VmHWM') - before)


def memory_of(case, variant, threads):
    """Start such a child."""
    command = [sys.executable, __file__, '--child', case, variant]
    command += ['--threads', str(threads)]
    output = subprocess.run(
        command, check=True, capture_output=True, text=True
    ).stdout
    return float(output.split()[-1])


def times_of(case, variants, rounds):
    """Seconds of each variant, interleaved; also compares the numbers."""
    data = make_data(case)
    times = {name: [] for name in variants}
    numbers = {}
    for _ in range(rounds):
        for name in variants:
            start = time.perf_counter()
            numbers[name] = VARIANTS[name](case, data)
            times[name].append(time.perf_counter() - start)
    for name in variants:
        for key, value in numbers[name].items():
            # float32 sums and near ties: a rank here or there
            assert abs(value - numbers['mmtpr'][key]) < 0.05, numbers
    return times


def table(cases, variants, args):
    """Print one Markdown table."""
    print('| case | form | best s | median s | extra MiB |')
    print('|---|---|---:|---:|---:|')
    ratios = []
    for case in cases:
        times = times_of(case, variants, args.rounds)
        memory = {}
        for name in variants:
            memory[name] = memory_of(case, name, args.threads)
            print(
                f'| {describe(case)} | {name} | {min(times[name]):.3f} '
                f'| {statistics.median(times[name]):.3f} '
                f'| {memory[name]:.1f} |',
                flush=True,
            )
        if len(variants) > 1:
            speed = min(times['plain']) / min(times['mmtpr'])
            less = memory['plain'] / max(memory['mmtpr'], 0.1)
            ratios.append(
                f'{describe(case)}: {speed:.1f}x as fast, '
                f'{less:.1f}x less extra memory'
            )
    print('\n' + '\n'.join(f'- {line}' for line in ratios) + '\n')


def describe(case):
    """A case in words."""
    queries, gallery, _, tokens, k = CASES[case]
    size = f'{queries:,} x {gallery:,}'
    if tokens is None:
        return f'{size}, matrix given'
    return f'{size} x {tokens}, top {k}, {DIM}-d'


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--large', action='store_true')
    parser.add_argument('--child', nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.child:
        measure_memory(*args.child)
        return
    print(f'torch {torch.__version__}, {args.threads} threads, CPU\n')
    table(['matrix', 'features'], ['plain', 'mmtpr'], args)
    table(['tokens-6', 'tokens-1'], ['plain', 'mmtpr'], args)
    if args.large:
        args.rounds = min(args.rounds, 2)
        table(['itcpr'], ['mmtpr'], args)


if __name__ == '__main__':
    main()
