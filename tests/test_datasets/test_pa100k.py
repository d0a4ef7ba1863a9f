"""PA-100K from the owners' .mat file and from json lists."""

import base64
import json
from importlib.util import find_spec

import pytest

from mmtpr.datasets import PA100K
from mmtpr.datasets.pa100k import PA100K_ATTRIBUTES

#: Nine images in the layout of the owners, saved by scipy, compressed.
MAT = """
TUFUTEFCIDUuMCBNQVQtZmlsZSBQbGF0Zm9ybTogcG9zaXgsIENyZWF0ZWQgb246IFNhdCBOb3YgMjE
gMTc6MDE6MDEgMjAyNgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
AAAAAAAAABSU0PAAAAVwAAAHic42NgYJBgZGBgA9IcQAxkggErlM8MFQNhQSAuKUrMzIvPzE1MTy2Oz
0vMTYWq5wNiBwaEOSxo5oD0cyGZLwDlG4CAoV5WQToVzDGikjnGCHMAAjgQuQ8AAABbAAAAeJzjY2Bg
2MDEwMAGpDkYIDQIsEL5zEAsBcSMQMwNxCVFiZl58TmJSak5YHWcQFzABNXE8MEelUYXx6WOkD5C5qE
DXPLEmk+sO8k1j9rqqSVOK3dRXx8A4gU7Rg8AAABRAAAAeJzjY2BgOAHEbEDMAcSMDBDACuUzQcVAmB
+IyxJz4jNzE9NTi+PzEnNTGfiAYg5I+lnQ9IP0cSGZKwDlG4CAiV5WQTpEnCJzTBHmAADJlA1rDwAAA
FIAAAB4nONjYGB4wMjAwAakORggNAiwQvlMQCwFxEAlDJxAXJaYE5+TmJSaA1UHElvACOUwfLBHpYkV
RweExEm1h1R3EGsOqe4jpJ9U+4kPVwDbESV4DwAAAFoAAAB4nONjYGCIYGRgYAPSHEAMZIIBK5TPAhU
DYQEgLkktLonPzE1MTy2Oz0vMTeUDijkwIPSzoOkH6eNCMlcAyjcAATO9rIJ0iDhF5phTyRwLKpljiT
AHAK3ME9UPAAAAaQAAAHic42NgYGhgZmBgA9IcDBAaBFihfBYglgJiRiDmAuKS1OKS+JzEpNQciDpOI
HZghmpi+GBPHo2uHxcfFyDWXELqSAWk2kusOLXtIcQnFA6k6iM1/EmNd0rjDZd5pIYXtfR9sAcASOlI
vg8AAACXAAAAeJyl0k0KgzAQhuERapAupOuewox/8TgWXLht4916vI44peCq8IZ8kIQ8s/pqEXkHEdt
SWQo5Vun3u7/tuVrmnJ/rY8vL6/hXW5L8/OXkCz9/5978vs9poI/QK/Qt9B30PfQD9CP0CfrpTx9OPr
iPDfQReoW+hb6Dvod+gH6EPkE/Ma+wfwr7p7B/CvunsH9q/fsA3VNH7Q==
"""


needs_scipy = pytest.mark.skipif(
    not find_spec('scipy'), reason='.mat files need the extra [pa100k]'
)


@pytest.fixture
def root(tmp_path):
    (tmp_path / 'release_data').mkdir()
    (tmp_path / 'annotation.mat').write_bytes(base64.b64decode(MAT))
    return tmp_path


@needs_scipy
def test_mat_file(root):
    data = PA100K(data_root=str(root), split='test')
    assert len(data) == 4
    # fmt: off
    labels = [1, 1, 1, 0, 1, 1, 0, 0, 1, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 0,
              0, 1, 1, 0, 1]
    # fmt: on
    assert data.get_data_info(0) == dict(
        role='gallery',
        img_path=f'{root}/release_data/000006.jpg',
        image_id=0,
        attributes=labels,
        sample_idx=0,
    )
    meta = data.metainfo
    assert meta['attributes'] == PA100K_ATTRIBUTES
    assert (meta['num_attributes'], meta['split']) == (26, 'test')
    train = PA100K(data_root=str(root))
    assert [train.get_data_info(i)['role'] for i in range(3)] == ['train'] * 3
    assert len(PA100K(data_root=str(root), split='val')) == 2


def write_json(root, **change):
    records = [
        dict(image=f'{i}.jpg', label=[(i + j) % 2 for j in range(26)])
        for i in range(3)
    ]
    records[1].update(change)
    records[1] = {k: v for k, v in records[1].items() if v is not None}
    (root / 'PA100K_val.json').write_text(json.dumps(records))
    return PA100K('PA100K_val.json', str(root), split='val')


def test_json_list(root):
    data = write_json(root)
    info = data.get_data_info(1)
    assert info['img_path'] == f'{root}/release_data/1.jpg'
    assert info['attributes'] == [(1 + j) % 2 for j in range(26)]


def test_the_image_folder_is_kept_once(root):
    data = write_json(root)
    assert str(root).encode() not in data.data_bytes.tobytes()
    first = data.get_data_info(0)
    listed = PA100K(
        'PA100K_val.json', str(root), split='val', serialize_data=False
    )
    assert listed.get_data_info(0) == first
    assert listed.load_data_list()[2]['img_path'].startswith(str(root))
    assert data.load_data_list() == listed.load_data_list()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(label=None), 'Record 1 of .*no list of attribute labels'),
        (dict(image=None), 'Record 1 of .*keys "image" and "label"'),
        (dict(label=[0, 1]), 'must have 26 attributes of 0 or 1, found 2'),
        (dict(label=[2] * 26), 'must have 26 attributes of 0 or 1'),
    ],
)
def test_wrong_json(root, change, message):
    with pytest.raises(ValueError, match=message):
        write_json(root, **change)


def test_absent_and_wrong_files(root):
    with pytest.raises(FileNotFoundError, match=r'x\.mat" does not exist'):
        PA100K('x.mat', str(root))
    with pytest.raises(FileNotFoundError, match=r'folder ".*images" of PA'):
        PA100K(data_root=str(root), data_prefix=dict(img_path='images'))
    with pytest.raises(ValueError, match="split='all'"):
        PA100K(data_root=str(root), split='all')


@needs_scipy
def test_wrong_mat_files(root):
    (root / 'x.mat').write_bytes(b'no matlab')
    with pytest.raises(ValueError, match='cannot be read as a MATLAB file'):
        PA100K('x.mat', str(root))
    whole = (root / 'annotation.mat').read_bytes()
    (root / 'x.mat').write_bytes(whole[:300])
    with pytest.raises(ValueError, match='cannot be read as a MATLAB file'):
        PA100K('x.mat', str(root))
    (root / 'x.mat').write_bytes(b'MATLAB 7.3 MAT-file'.ljust(126) + b'IM')
    with pytest.raises(ValueError, match='cannot be read as a MATLAB file'):
        PA100K('x.mat', str(root))
    (root / 'x.mat').write_bytes(whole[:128])
    with pytest.raises(ValueError, match='no variable train_images_name and'):
        PA100K('x.mat', str(root))
