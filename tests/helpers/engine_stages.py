"""Two small stages of a data engine, also as a program.

Usage: python engine_stages.py FOLDER RANK WORLD_SIZE [KILLED_AFTER]
"""

import os
import sys
from pathlib import Path

import torch

from mmtpr.data_engine import Stage, StageFolder, run_stage


def join_group(place, rank, world):
    """Meet the other processes of a run by a file beside its folder."""
    if world != '1':
        torch.distributed.init_process_group(
            'gloo',
            init_method=f'file://{place}-rendezvous',
            rank=int(rank),
            world_size=int(world),
        )


class Numbers(Stage):
    """Numbers from 0, some of which are dropped."""

    name, unit = 'write', 'records'

    def __init__(self, total=50, size=8, seed=3, killed_after=None):
        self.total, self.size, self.seed = total, size, seed
        self.killed_after, self.done = killed_after, []

    def settings(self):
        return dict(total=self.total, seed=self.seed, odd=dict(size=self.size))

    @property
    def sources(self):
        return []

    @property
    def num_blocks(self):
        return -(-self.total // self.size)

    def items(self, block):
        stop = min(self.total, (block + 1) * self.size)
        return [(f'{n:06d}', n) for n in range(block * self.size, stop)]

    def process(self, items):
        for key, number in reversed(items):  # any order will do
            if len(self.done) == self.killed_after:
                os._exit(9)
            self.done.append(key)
            row = dict(key=key, value=number * self.seed, text='Köln\u2028')
            if number % 7 == 0:
                row['dropped'] = 'divisible by 7'
            yield row

    def finish(self, folder):
        return dict(total=sum(row['value'] for row in folder.read_all()))


class Following(Stage):
    """A stage that reads another, block by block."""

    def __init__(self, source):
        self.source = source

    def settings(self):
        return {}

    @property
    def sources(self):
        return [self.source]

    @property
    def num_blocks(self):
        return self.source.num_blocks


class Squares(Following):
    """Two squares for each number."""

    name = 'render'

    def items(self, block):
        return [
            (f'{row["key"]}-{i}', (row, i))
            for row in self.source.read(block)
            for i in range(2)
        ]

    def process(self, items):
        for key, (row, i) in items:
            yield dict(key=key, value=row['value'] ** 2 + i)


if __name__ == '__main__':
    place, rank, world, *killed = sys.argv[1:]
    join_group(place, rank, world)
    after = int(killed[0]) if killed else None
    write = StageFolder(Path(place) / 'write')
    run_stage(Numbers(killed_after=after), write)
    run_stage(Squares(write), StageFolder(Path(place) / 'render'))
