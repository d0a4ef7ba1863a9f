"""A run of the data engine whose judge knows the truth nearly."""

from pathlib import Path

import numpy as np
from engine_stages import Following
from PIL import Image

from mmtpr.data_engine import (
    GrammarWriter,
    StageFolder,
    WriteStage,
    run_stage,
)

FAULTS = ('', 'damaged', 'wrong_change')


class Render(Following):
    """Two pairs a record: plain colours."""

    name = 'render'

    def __init__(self, source, faulty=True):
        super().__init__(source)
        self.faulty = faulty

    def settings(self):
        return dict(faulty=self.faulty)

    def items(self, block):
        return [
            (f'{row["key"]}-{pair:02d}', (row, pair))
            for row in self.source.read(block)
            for pair in range(2)
        ]

    def process(self, items):
        for key, (row, pair) in items:
            number = 2 * row['index'] + pair
            out = dict(key=key, index=row['index'], pair=pair)
            if number % 13 == 12:
                yield dict(out, dropped='the pipeline rendered nothing')
                continue
            fault = FAULTS[number % 3] if self.faulty else ''
            yield dict(
                out,
                reference_image=f'000/{key}_reference.png',
                target_image=f'000/{key}_target.png',
                truth=dict(fault=fault),
            )


class Judge(Following):
    """High numbers for pairs without a fault; some are unreadable."""

    name = 'judge'

    def __init__(self, source, fields=('quality', 'same')):
        super().__init__(source)
        self.fields = fields

    def settings(self):
        return dict(fields=list(self.fields))

    def items(self, block):
        return [(row['key'], row) for row in self.source.read(block)]

    def process(self, items):
        for key, row in items:
            rng = np.random.default_rng([row['index'], row['pair']])
            good = row['truth']['fault'] == ''
            scores = {
                name: float(rng.normal(4 if good else 2, 0.3))
                for name in self.fields
            }
            if row['index'] % 11 == 10:
                yield dict(
                    key=key,
                    scores=dict.fromkeys(self.fields, 0.0),
                    unreadable=True,
                )
            else:
                yield dict(key=key, scores=scores)


def judged_run(folder, num=40, judges=('vlm',), **kwargs):
    """Write, render and judge; gives the folders."""
    folder = Path(folder)
    write = StageFolder(folder / 'write')
    run_stage(
        WriteStage(num, dict(gender=['man', 'woman']), GrammarWriter()), write
    )
    render = StageFolder(folder / 'render')
    run_stage(Render(write, **kwargs), render)
    images = render.folder / 'images/000'
    images.mkdir(parents=True, exist_ok=True)
    for row in render.read_all():
        for name, colour in (('reference', 90), ('target', 160)):
            image = Image.new('RGB', (16, 32), (colour, row['index'] % 255, 9))
            image.save(render.folder / 'images' / row[f'{name}_image'])
    found = {}
    for name in judges:
        found[name] = StageFolder(folder / 'judges' / name)
        run_stage(Judge(render), found[name])
    return write, render, found
