import os

import numpy as np
import pytest

from mmtpr.filtering.shards import ShardStore

RUN = dict(data='d' * 8, scorer='s' * 8, bank='b' * 8, precision='float32')


def store(path, **changes):
    return ShardStore(path / 'o.shards', RUN | changes, 10, 4)


def fill(shards, numbers):
    for i in numbers:
        start, stop = shards.bounds(i)
        shards.save(i, np.arange(start, stop), np.arange(start, stop) / 8)


def test_save_continue_merge_remove(tmp_path):
    shards = store(tmp_path)
    shards.create()
    assert len(shards) == 3
    assert [shards.bounds(i) for i in range(3)] == [(0, 4), (4, 8), (8, 10)]
    assert shards.pending() == [0, 1, 2]
    fill(shards, [2, 0])
    again = store(tmp_path)
    again.create()
    assert again.pending() == [1]
    with pytest.raises(RuntimeError, match='1 of 3 shards are missing'):
        again.merge()
    fill(again, [1])
    rank, score = again.merge()
    assert rank.tolist() == list(range(10))
    assert score.tolist() == [i / 8 for i in range(10)]
    again.remove()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize('key', sorted(RUN))
def test_shards_of_another_run_are_refused_and_kept(tmp_path, key):
    shards = store(tmp_path)
    shards.create()
    fill(shards, [0])
    with pytest.raises(
        ValueError, match=f'another run .{key}: .* there, other now'
    ):
        store(tmp_path, **{key: 'other'}).create()
    assert store(tmp_path).pending() == [1, 2]


def test_a_run_that_finished_nothing_is_in_nobodys_way(tmp_path):
    store(tmp_path).create()
    other = store(tmp_path, data='other')
    other.create()
    fill(other, [0])
    with pytest.raises(ValueError, match='another run'):
        store(tmp_path).create()


def test_damaged_shard_is_scored_again(tmp_path):
    shards = store(tmp_path)
    shards.create()
    fill(shards, [0, 1, 2])
    path = tmp_path / 'o.shards/shard_000001.npz'
    path.write_bytes(path.read_bytes()[:50])
    np.savez(
        tmp_path / 'o.shards/shard_000002.npz',
        rank=np.arange(3),
        score=np.arange(3),
    )
    assert shards.pending() == [1, 2]


def test_files_of_the_user_stay(tmp_path):
    folder = tmp_path / 'o.shards'
    folder.mkdir()
    (folder / 'mine.txt').write_text('x')
    with pytest.raises(ValueError, match='holds other files'):
        store(tmp_path).create()
    (folder / 'mine.txt').unlink()
    shards = store(tmp_path)
    shards.create()
    fill(shards, [0, 1, 2])
    (folder / 'mine.txt').write_text('x')
    shards.remove()
    assert os.listdir(folder) == ['mine.txt']


def test_shard_size():
    with pytest.raises(ValueError, match='shard_size must be positive'):
        ShardStore('x', RUN, 10, 0)
