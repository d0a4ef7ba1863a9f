"""What the data engine itself costs: seconds and memory a record.

    python benchmarks/data_engine.py [--sizes 1000 10000 100000] [--pairs 1]
        [--rounds 3] [--folder DIR] [--json FILE]

Writer, renderer and judges are stubs that cost nothing, so that what is
measured is the engine: checks, journals, blocks, summaries, triplets, report.
Each line is measured in a process of its own, after a small run that loads
what is needed: seconds a row (a record of write, else a pair), and what its
peak of memory grows by. Up to the last size the median of ``--rounds`` counts,
the last is measured once.

To reach: time a row at the last size within 1.3 times of that at the first;
at most 300 bytes of memory for each further row; 10 s to run stages again
that are done. Drawing histograms and contact sheets, which takes the same
seconds whatever the size, is told apart and not counted.
"""

import argparse
import importlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from mmtpr.data_engine import Stage, StageFolder, WriteStage, run_stage
from mmtpr.data_engine.assemble import Assembly, assemble
from mmtpr.data_engine.engine_config import load_engine_config
from mmtpr.data_engine.writers import Answer, Quadruple, QuadrupleWriter

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / 'configs/synthesis/syncpr_qwen_flux.py'
STAGES = ('write', 'render', 'judge', 'assemble')
FIELDS = ('quality', 'same_person', 'left', 'right', 'change')
RULE = [
    dict(field='vlm.same_person', min=0.3),
    dict(field='vlm.quality', keep=0.6),
]
MOST_RATIO, MOST_BYTES, MOST_SECONDS = 1.3, 300, 10
#: The module; its package has a function of that name.
STEPS = importlib.import_module('mmtpr.data_engine.assemble.assemble')
_LETTERS = 'abcdefghijklmnopqrstuvwxyz'


class StubWriter(QuadrupleWriter):
    """Quadruples in no time, no two alike."""

    model = 'stub'

    def settings(self):
        """Nothing decides."""
        return {}

    def answer(self, requests):
        """Answer with a brand of its own a record."""
        for request in requests:
            number, brand = request.index, ''
            for _ in range(6):
                number, place = divmod(number, len(_LETTERS))
                brand += _LETTERS[place]
            person = request.metadata['gender']
            before, after = (
                f'The {person} is wearing a {colour} jacket of {brand}, black '
                'trousers and white shoes, and carries a large leather bag.'
                for colour in ('red', 'blue')
            )
            edit, back = 'Wearing a blue jacket.', 'Wearing a red jacket.'
            quadruple = Quadruple(before, after, edit, back)
            yield request, Answer(quadruple, json.dumps(quadruple.to_dict()))


class _OfRows(Stage):
    """A stage of one source."""

    def __init__(self, source, pairs=1):
        self.source, self.pairs = source, pairs

    def settings(self):
        """As given."""
        return dict(pairs=self.pairs)

    @property
    def sources(self):
        """The one."""
        return [self.source]

    @property
    def num_blocks(self):
        """As the source."""
        return self.source.num_blocks


class StubRender(_OfRows):
    """Rows of pairs without images."""

    name, unit = 'render', 'pairs'

    def items(self, block):
        """So many pairs a record."""
        return [
            (f'{row["key"]}-{pair:02d}', (row['index'], pair))
            for row in self.source.read(block)
            for pair in range(self.pairs)
        ]

    def process(self, items):
        """No image at all."""
        for key, (index, pair) in items:
            place = f'{index // 500:05d}/{key}'
            yield dict(
                key=key,
                index=index,
                pair=pair,
                reference_image=f'{place}_reference.jpg',
                target_image=f'{place}_target.jpg',
                seed=index,
                beta=1.0,
                renderer='stub',
            )


class StubJudge(_OfRows):
    """Scores that follow from the number of a record."""

    name, unit = 'judge', 'pairs'

    def items(self, block):
        """Its pairs."""
        return [(row['key'], row['index']) for row in self.source.read(block)]

    def process(self, items):
        """Some hash of it."""
        for key, index in items:
            scores = {
                name: (index * 2654435761 % 2**32 >> 4 * i) % 1000 / 1000
                for i, name in enumerate(FIELDS)
            }
            yield dict(key=key, scores=scores, raw='12345')


def run_one(kind, folder, number, pairs):
    """Run a stage of a run."""
    write, render = (
        StageFolder(folder / 'write'),
        StageFolder(folder / 'render'),
    )
    vlm = StageFolder(folder / 'judges/vlm')
    if kind == 'write':
        metadata = load_engine_config(RECIPE).write.metadata.to_dict()
        run_stage(WriteStage(number, metadata, StubWriter()), write)
    elif kind == 'render':
        run_stage(StubRender(write, pairs), render)
    elif kind == 'judge':
        run_stage(StubJudge(render), vlm)
    elif kind == 'assemble':
        out = folder / 'assemble'
        assemble(Assembly(RULE), write, render, dict(vlm=vlm), out)
    else:  # all that is done, once more
        for one in STAGES[:3]:
            run_one(one, folder, number, pairs)


def memory(name):
    """A line of /proc/self/status in bytes."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(f'{name}:'):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f'There is no {name}.')


@contextmanager
def drawing_apart():
    """Take the seconds of what draws."""
    seconds = []

    def timed(draw):
        def inner(*args):
            start = time.perf_counter()
            draw(*args)
            seconds.append(time.perf_counter() - start)

        return inner

    with (
        patch.object(STEPS, 'draw_sheet', timed(STEPS.draw_sheet)),
        patch.object(STEPS, 'plot_fields', timed(STEPS.plot_fields)),
    ):
        yield seconds


def measure_here(kind, folder, number, pairs):
    """Seconds and growth of this process."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as small:
        needed = (
            STAGES if kind == 'resume' else STAGES[: STAGES.index(kind) + 1]
        )
        for one in needed:
            run_one(one, Path(small), 20, pairs)
    before = memory('VmRSS')
    Path('/proc/self/clear_refs').write_text('5')  # the peak begins anew
    start = time.perf_counter()
    with drawing_apart() as drawn:
        run_one(kind, folder, number, pairs)
    seconds = time.perf_counter() - start - sum(drawn)
    grown = memory('VmHWM') - before
    return dict(seconds=seconds, drawn=sum(drawn), grown=grown)


def measure(kind, folder, number, args):
    """Seconds and growth of processes of their own, the median of some."""
    rounds = 1 if number == max(args.sizes) else args.rounds
    place = folder / {'judge': 'judges'}.get(kind, kind)
    found = []
    for _ in range(rounds):
        if kind != 'resume':
            shutil.rmtree(place, ignore_errors=True)
        command = [sys.executable, __file__, '--pairs', str(args.pairs)]
        command += ['--here', kind, str(folder), str(number)]
        done = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True
        )
        found.append(json.loads(done.stdout.splitlines()[-1]))
    return {
        key: statistics.median(one[key] for one in found) for key in found[0]
    }


def verdict(reached):
    """Word for a table."""
    return 'yes' if reached else 'NO'


def print_stages(found, sizes, pairs):
    """A line a stage."""
    heads = ' | '.join(f'{n:,} records, rows/s' for n in sizes)
    print(f'\n| stage | {heads} | ratio | reached (<= {MOST_RATIO}) '
          f'| bytes a row | reached (<= {MOST_BYTES}) |')  # fmt: skip
    print(f'|---|{"---:|" * len(sizes)}---:|---|---:|---|')
    for kind, rows in found.items():
        scale = 1 if kind == 'write' else pairs
        numbers = [scale * n for n in sizes]
        each = [
            one['seconds'] / n for one, n in zip(rows, numbers, strict=True)
        ]
        ratio = each[-1] / each[0]
        grown = (rows[-1]['grown'] - rows[0]['grown']) / (
            numbers[-1] - numbers[0]
        )
        rates = ' | '.join(f'{1 / one:,.0f}' for one in each)
        flat = verdict(ratio <= MOST_RATIO)
        print(
            f'| {kind} | {rates} | {ratio:.2f} | {flat} '
            f'| {grown:.0f} | {verdict(grown <= MOST_BYTES)} |'
        )


def main():
    """Run the benchmark."""
    kinds = (*STAGES, 'resume')
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument(
        '--sizes', type=int, nargs='+', default=[1000, 10000, 100000]
    )
    parser.add_argument('--pairs', type=int, default=1, help='of a record')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--folder', help='for the runs; else a temporary')
    parser.add_argument('--json', help='write the figures here too')
    parser.add_argument('--here', nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.here:
        kind, folder, number = args.here
        done = measure_here(kind, Path(folder), int(number), args.pairs)
        print(json.dumps(done))
        return
    found = {}
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        for number in args.sizes:
            for kind in kinds:
                one = measure(kind, Path(folder) / str(number), number, args)
                found.setdefault(kind, []).append(one)
                print(
                    f'{number:,} {kind}: {one["seconds"]:.2f} s',
                    file=sys.stderr,
                )
    again = found.pop('resume')[-1]['seconds']
    print(f'{args.pairs} pairs a record, 1 judge of {len(FIELDS)} fields, '
          f'{os.cpu_count()} CPUs.')  # fmt: skip
    print_stages(found, args.sizes, args.pairs)
    drawn = ', '.join(f'{one["drawn"]:.1f}' for one in found['assemble'])
    print(f'\nNot counted: {drawn} s to draw histograms and contact sheets.')
    print(
        f'\nThe first three stages of {args.sizes[-1]:,} records again, all '
        f'done: {again:.1f} s, to reach <= {MOST_SECONDS}: '
        f'{verdict(again <= MOST_SECONDS)}'
    )
    if args.json:
        content = dict(sizes=args.sizes, stages=found, resume=again)
        Path(args.json).write_text(json.dumps(content, indent=2))


if __name__ == '__main__':
    main()
