"""Relevance ranking in blocks, against one pair at a time.

Prints a Markdown table. ``loop`` is the form of the published code: for each
pair, Python goes over the captions of the bank, takes each one's relevance as
a number and sorts the list. ``vector`` is one matrix product a pair. Both are
timed on a part of the pairs. Times are the best and the median of interleaved
rounds in one process; memory is what the resident set grows by at its peak
while one variant runs, each in a process of its own, after data and libraries
are in.

    python benchmarks/filtering.py [--rounds 5] [--threads 2]
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from mmtpr.filtering import relevance_rank

PAIRS, TOKENS, DIM, BANK = 2000, 32, 256, 10000


def make_data():
    """Tokens, own captions that fit more or less, and a bank."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        values = torch.randn(*shape, generator=generator)
        return F.normalize(values, dim=-1)

    tokens = normal(PAIRS, TOKENS, DIM)
    fit = 0.3 * torch.rand(PAIRS, 1, generator=generator)
    captions = F.normalize(normal(PAIRS, DIM) + fit * tokens[:, 0], dim=-1)
    return tokens, captions, normal(BANK, DIM)


def loop(tokens, captions, bank):
    """Caption by caption, as in the published code."""
    ranks = []
    texts = [text[None, None] for text in bank]  # of shape (1, 1, D)
    for image, caption in zip(tokens, captions, strict=True):
        image, caption = image[None], caption[None, None]
        own = (image @ caption[:, 0, :].t()).max().item()
        scores = [own]
        for text in texts:
            scores.append((image @ text[:, 0, :].t()).max().item())
        scores = sorted(scores, reverse=True)
        # A pair goes at k if its score is <= scores[k].
        ranks.append(len(scores) - scores[::-1].index(own))
        while ranks[-1] < len(scores) and scores[ranks[-1]] == own:
            ranks[-1] += 1
    return torch.tensor(ranks)


def vector(tokens, captions, bank):
    """One matrix product a pair."""
    ranks = []
    for image, caption in zip(tokens, captions, strict=True):
        own = (image @ caption).max()
        ranks.append(1 + ((image @ bank.t()).amax(0) >= own).sum())
    return torch.stack(ranks)


# form and number of pairs that are timed
VARIANTS = {
    'loop': (loop, 20),
    'vector': (vector, 200),
    'mmtpr': (relevance_rank, PAIRS),
}


def run(name, data, pairs=None):
    """Ranks of the first pairs."""
    form, default = VARIANTS[name]
    tokens, captions, bank = data
    number = pairs or default
    return form(tokens[:number], captions[:number], bank)


def status(key):
    """A line of /proc/self/status in MiB."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f'/proc/self/status has no {key}.')


def measure_memory(name):
    """Child process: print the growth of the resident set in MiB."""
    data = make_data()
    run(name, (*data[:2], data[2][:100]), 2)
    Path('/proc/self/clear_refs').write_text('5')  # VmHWM = now
    before = status('VmRSS')
    run(name, data)
    print(status('VmHWM') - before)


def memory_of(name, threads):
    """Start such a child."""
    command = [sys.executable, __file__, '--child', name]
    command += ['--threads', str(threads)]
    output = subprocess.run(
        command, check=True, capture_output=True, text=True
    ).stdout
    return float(output.split()[-1])


def times_of(rounds):
    """Milliseconds a pair of each variant, interleaved."""
    data = make_data()
    times = {name: [] for name in VARIANTS}
    for _ in range(rounds):
        ranks = {}
        for name, (_, pairs) in VARIANTS.items():
            start = time.perf_counter()
            ranks[name] = run(name, data)
            seconds = time.perf_counter() - start
            times[name].append(1000 * seconds / pairs)
        for name in ('loop', 'vector'):
            other = ranks['mmtpr'][: len(ranks[name])]
            # Rounding of the plain forms may move a close caption.
            assert (ranks[name] - other).abs().max() <= 2, name
    return times


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--child', help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.child:
        measure_memory(args.child)
        return
    times = times_of(args.rounds)
    print(
        f'{PAIRS} pairs, {TOKENS} tokens of width {DIM}, bank of {BANK}, '
        f'torch {torch.__version__}, {args.threads} threads.\n'
    )
    print(
        '| form | pairs timed | ms a pair, best | median | '
        'times faster than loop (best / median) | extra MiB |'
    )
    print('|---|---:|---:|---:|---:|---:|')
    for name, (_, pairs) in VARIANTS.items():
        best, median = min(times[name]), statistics.median(times[name])
        faster = min(times['loop']) / best
        usual = statistics.median(times['loop']) / median
        print(
            f'| {name} | {pairs} | {best:.3f} | {median:.3f} | '
            f'{faster:.1f} / {usual:.1f} | '
            f'{memory_of(name, args.threads):.0f} |'
        )


if __name__ == '__main__':
    main()
