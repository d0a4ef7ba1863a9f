"""Composed evaluation at the size of ITCPR, against a product for each pair.

2,202 queries of one vector against 20,510 images of 32 vectors, 256-d,
random. ``mmtpr`` is the metric as a test loop calls it: ``process`` for every
sample, then ``evaluate``, with ranking and the rows of image, text and sum.
The other forms only fill the tensor of similarities, for some of the queries,
and average the best 6: ``matmul`` broadcasts as the released code does,
``bmm`` takes one query at a time. They are compared by the time for a pair.

Times are medians of interleaved rounds in one process. Memory is what the
resident set grows by at its peak, in a process of its own: of ``mmtpr`` from
before the first sample, so the features it keeps count too.

    python benchmarks/composed_ranking.py [--rounds 3] [--threads 2]
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from mmengine.logging import MMLogger
from ranking import status

from mmtpr.evaluation import ComposedRetrievalMetric, topk_similarity

QUERIES, GALLERY, TOKENS, DIM, TOPK = 2202, 20510, 32, 256, 6
ROWS = ('image', 'text', 'sum')
#: To reach: times faster for a pair, and GiB.
FASTER, MEMORY = 20, 1.5


def vectors(*shape, seed):
    """Random directions."""
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, DIM, generator=generator), dim=-1)


def samples(queries, gallery):
    """What a retriever predicts, sample by sample."""
    for i in range(queries):
        query = vectors(1 + len(ROWS), seed=i)
        rows = {
            f'features_{r}': f for r, f in zip(ROWS, query[1:], strict=True)
        }
        yield dict(role='query', instance_id=i, features=query[0], **rows)
    for i in range(gallery):
        item = vectors(TOKENS + 1, seed=-1 - i)
        yield dict(
            role='gallery',
            instance_id=i if i < queries else -1,
            features=item[1:],
            features_pooled=item[:1],
        )


def fill(metric, queries=QUERIES, gallery=GALLERY):
    """Hand all samples to the metric."""
    for sample in samples(queries, gallery):
        metric.process(None, [sample])
    return queries + gallery


def new_metric():
    """The metric of the configs."""
    return ComposedRetrievalMetric(rows=ROWS, topk_tokens=TOPK)


def matmul(query, tokens, out):
    """A product for each pair, all of them in one call."""
    product = torch.matmul(query[:, None, None, :], tokens.transpose(1, 2))
    out.copy_(product.squeeze(2))
    return out.topk(TOPK, dim=-1).values.mean(-1)


def bmm(query, tokens, out):
    """A product for each pair, one query at a time."""
    for row, vector in zip(out, query, strict=True):
        column = vector[None, :, None].expand(len(tokens), -1, 1)
        torch.bmm(tokens, column, out=row[..., None])
    return out.topk(TOPK, dim=-1).values.mean(-1)


FORMS = {'matmul': matmul, 'bmm': bmm}


def time_forms(args):
    """Seconds of the forms and of evaluation, interleaved."""
    query = vectors(args.part, seed=0)
    tokens = vectors(GALLERY, TOKENS, seed=1)
    out = torch.empty(args.part, GALLERY, TOKENS)
    wanted = topk_similarity(query, tokens, TOPK)
    for form in FORMS.values():
        torch.testing.assert_close(form(query, tokens, out), wanted)
    metric = new_metric()
    size = fill(metric)
    kept = list(metric.results)
    times = {name: [] for name in (*FORMS, 'mmtpr')}
    for _ in range(args.rounds):
        for name, form in FORMS.items():
            start = time.perf_counter()
            form(query, tokens, out)
            times[name].append(time.perf_counter() - start)
        metric.results = list(kept)  # evaluate empties it
        start = time.perf_counter()
        metric.evaluate(size)
        times['mmtpr'].append(time.perf_counter() - start)
    return times


def measure_memory(name, args):
    """Child process: print the growth of the resident set in MiB."""
    if name == 'mmtpr':
        warm = new_metric()
        warm.evaluate(fill(warm, 10, 20))

        def work():
            metric = new_metric()
            metric.evaluate(fill(metric))

    else:
        query, form = vectors(args.part, seed=0), FORMS[name]
        tokens = vectors(GALLERY, TOKENS, seed=1)
        form(query[:1], tokens[:9], torch.empty(1, 9, TOKENS))

        def work():
            form(query, tokens, torch.empty(args.part, GALLERY, TOKENS))

    Path('/proc/self/clear_refs').write_text('5')  # VmHWM = now
    before = status('VmRSS')
    work()
    print('MIB', status('VmHWM') - before)


def memory_of(name, args):
    """Start such a child."""
    command = [sys.executable, __file__, '--child', name]
    command += ['--threads', str(args.threads), '--part', str(args.part)]
    output = subprocess.run(
        command, check=True, capture_output=True, text=True
    ).stdout
    return float(output.split('MIB')[-1])


def report(times, memory, part):
    """Print the table and what is to be reached."""
    print('| form | queries timed | median s | us a pair | extra MiB |')
    print('|---|---:|---:|---:|---:|')
    pair = {}
    for name, found in times.items():
        number = QUERIES if name == 'mmtpr' else part
        median = statistics.median(found)
        pair[name] = 1e6 * median / (number * GALLERY)
        print(
            f'| {name} | {number:,} | {median:.2f} | {pair[name]:.3f} '
            f'| {memory[name]:.0f} |'
        )
    print()
    for name in FORMS:
        print(f'- {pair[name] / pair["mmtpr"]:.1f} times as fast as {name}')
    print(
        f'- {memory["mmtpr"] / 1024:.2f} GiB\n'
        f'\nTo reach: {FASTER} times, at most {MEMORY} GiB.'
    )


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument(
        '--part', type=int, default=4, help='queries of the other forms'
    )
    parser.add_argument('--child', help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    MMLogger.get_current_instance().setLevel('ERROR')
    if args.child:
        measure_memory(args.child, args)
        return
    print(f'torch {torch.__version__}, {args.threads} threads, CPU\n')
    memory = {name: memory_of(name, args) for name in (*FORMS, 'mmtpr')}
    report(time_forms(args), memory, args.part)


if __name__ == '__main__':
    main()
