"""A writer that is killed at any moment leaves one state or the next."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import gallery_writer
import pytest
import torch

from mmtpr.gallery import FaissStore

KILLS = 5


def start(folder):
    script = Path(gallery_writer.__file__)
    return subprocess.Popen(
        [sys.executable, str(script), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
    )


def rounds(lines):
    """The rounds that were told between lines of the log."""
    for line in lines:
        if line.startswith('round '):
            yield int(line.split()[1])


def state(folder):
    """The round that all items are of, checked in every part."""
    store = FaissStore(folder)
    ids = [f'i{n}' for n in range(gallery_writer.ITEMS)]
    assert sorted(store.ids()) == sorted(ids)
    (number,) = {*store.columns(ids)['round']}
    feats = gallery_writer.vectors_of(number).half().float()
    assert torch.equal(store.fetch(ids), feats)
    return number


@pytest.mark.skipif(os.name == 'nt', reason='kill -9')
def test_kill_at_random_moments(tmp_path, needs_the_extra):
    folder = tmp_path / 'store'
    draw = random.Random(0)
    for _ in range(KILLS):
        process = start(folder)
        told = next(rounds(process.stdout))
        time.sleep(draw.uniform(0, 0.3))  # wherever that is
        # Meanwhile a reader opens whole states only.
        assert state(folder) >= told
        process.kill()
        rest, _ = process.communicate()
        *_, last = told, *rounds(rest.splitlines())
        # What was told is on disk; the next may be, as a whole.
        assert state(folder) in (last, last + 1)
        assert FaissStore(folder).verify() == []
    with FaissStore(folder, write=True) as store:  # takes the lock over
        store.delete(['i0'])
        store.compact()
        kept = {file.name for file in store._manifest.files}
    assert {*os.listdir(folder)} == {'manifest.json', *kept}
