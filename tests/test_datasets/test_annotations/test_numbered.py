"""Numbers given while records are read."""

import pytest

from mmtpr.datasets.annotations.numbered import NumberedRecords
from mmtpr.datasets.annotations.records import PersonRecord


def record(path, pid, captions=('red',), lost=0):
    return PersonRecord(path, captions, pid, 'train', b'', lost)


@pytest.mark.parametrize('size', [1, 2, 5])
def test_numbers_do_not_depend_on_the_parts(size):
    records = [
        record('a.jpg', 'x'),
        record('b.jpg', 'y', (), 2),
        record('a.jpg', 'z', ('red', 'blue')),
        record('c.jpg', 'x'),
        record('a.jpg', 'z'),
    ]
    numbered = NumberedRecords(pid_offset=10)
    found = []
    for start in range(0, 5, size):
        part = records[start : start + size]
        numbered.renumber(part)
        found += part
    assert [r.pid for r in found] == [10, 11, 12, 10, 12]
    assert [r._replace(pid=0) for r in found] == [
        r._replace(pid=0) for r in records
    ]
    assert numbered.image_ids == {'a.jpg': 0, 'b.jpg': 1, 'c.jpg': 2}
    assert numbered.num_images == len({(r.pid, r.path) for r in found}) == 4
    assert numbered.num_captions == 5
    assert numbered.lost == ['b.jpg', 'b.jpg']
