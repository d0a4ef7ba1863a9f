"""Writes to a store until it is killed, and tells what is on disk.

Its argument is the folder. Before each flush all items get the
next number in their column, and after it that number is told: a reader knows
what it may find.
"""

import sys

import torch

from mmtpr.gallery import FaissStore, ModelIdentity

ITEMS = 40


def vectors_of(number):
    """Vectors (ITEMS, 2, 8) of a round, told apart by their numbers."""
    return torch.full((ITEMS, 2, 8), float(number % 2000))


def write_forever(folder):
    identity = ModelIdentity('m', 'w', 't')
    with FaissStore(folder, identity, write=True, most_segments=3) as store:
        ids = [f'i{n}' for n in range(ITEMS)]
        number = store.columns(ids[:1])['round'][0] if len(store) else 0
        while True:
            number += 1
            columns = dict(round=[number] * ITEMS)
            store.upsert(ids, vectors_of(number), columns=columns)
            store.flush()
            sys.stdout.write(f'round {number}\n')
            sys.stdout.flush()


if __name__ == '__main__':
    write_forever(sys.argv[1])
