"""Scores in the forms that other tools read."""

import numpy as np
import pytest
from joined_case import scores_of

from mmtpr.filtering.exporting import (
    UID_DTYPE,
    pair_uids,
    uid_text,
    write_parquet,
    write_uids,
)
from mmtpr.structures.pairs import Pairs, relative_names


class Entries:
    def __init__(self, uids):
        self.uids = uids

    def get_data_info(self, index):
        return dict(uid=self.uids[index])


def pairs_of(root='/data', uids=None):
    paths = [f'{root}/a/{i // 2}.jpg' for i in range(5)] + [f'{root}/b.jpg']
    return Pairs(Entries(uids), paths, [f'text {i}' for i in range(6)])


def test_uids_do_not_depend_on_where_the_data_lie():
    uids = pair_uids(pairs_of())
    assert uids.dtype == UID_DTYPE
    assert len(np.unique(uids)) == 6
    assert (uids == pair_uids(pairs_of('/else/where'))).all()
    other = pairs_of()
    other.captions[0] = 'text x'
    assert (uids == pair_uids(other)).tolist() == [False] + [True] * 5


def test_uids_of_entries_are_taken_as_they_are():
    given = [f'{i:016x}{255 - i:016X}' for i in range(6)]
    uids = pair_uids(pairs_of(uids=given), 'uid')
    assert [uid_text(uid) for uid in uids] == [text.lower() for text in given]
    assert uids[3].tolist() == (3, 252)
    given[4] = 'ff'
    with pytest.raises(ValueError, match='Entry 4 has \'ff\' under "uid"'):
        pair_uids(pairs_of(uids=given), 'uid')
    with pytest.raises(ValueError, match='Entry 0 has None under "id"'):
        pair_uids(pairs_of(uids=given), 'id')


def test_pairs_that_occur_twice_are_told(monkeypatch):
    lines = []
    monkeypatch.setattr(
        'mmtpr.filtering.exporting.print_log',
        lambda text, **_: lines.append(text),
    )
    pairs = pairs_of()
    pairs.captions[1] = pairs.captions[0]
    pair_uids(pairs)
    assert lines[0].startswith('1 of 6 pairs have the uid of an earlier one')


def test_the_list_is_sorted_and_loads_without_pickle(tmp_path):
    uids = np.array([(2, 1), (1, 2**64 - 1), (2, 0)], UID_DTYPE)
    write_uids(tmp_path / 'a.npy', uids)
    found = np.load(tmp_path / 'a.npy', allow_pickle=False)
    assert found.dtype == np.dtype('u8,u8')
    assert found.tolist() == [(1, 2**64 - 1), (2, 0), (2, 1)]


def test_parquet_in_blocks(tmp_path, monkeypatch):
    parquet = pytest.importorskip(
        'pyarrow.parquet', reason='needs the extra [filtering]'
    )
    monkeypatch.setattr('mmtpr.filtering.exporting._ROWS', 4)
    pairs, path = pairs_of(), tmp_path / 'a.parquet'
    scores = scores_of(np.arange(1, 7))
    uids = pair_uids(pairs)
    for name in ('uid', 'text', ''):
        with pytest.raises(ValueError, match=f'cannot be named "{name}"; the'):
            write_parquet(path, pairs, uids, scores, name)
    assert not path.exists()
    write_parquet(path, pairs, uids, scores, 'clip_l14_similarity_score')
    file = parquet.ParquetFile(path)
    assert file.num_row_groups == 2
    table = file.read().to_pydict()
    assert table['uid'] == [uid_text(uid) for uid in uids]
    assert table['path'] == relative_names(pairs.paths)
    assert table['path'][-1] == 'b.jpg'
    assert table['text'] == pairs.captions
    assert table['relevance_rank'] == [1, 2, 3, 4, 5, 6]
    np.testing.assert_array_equal(
        np.float32(table['clip_l14_similarity_score']), scores.score
    )
