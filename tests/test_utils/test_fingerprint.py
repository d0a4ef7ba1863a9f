"""Fingerprints of weights, texts and what embeds."""

import copy

from mmengine.config import Config
from torch import nn

from mmtpr.utils import fingerprint
from mmtpr.utils.fingerprint import (
    path_fingerprint,
    scorer_fingerprint,
    text_fingerprint,
    weights_fingerprint,
)


def test_weights_fingerprint():
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    same = copy.deepcopy(model)
    assert weights_fingerprint(model) == weights_fingerprint(same)
    same[0].weight.data[1, 2] += 1e-6
    assert weights_fingerprint(model) != weights_fingerprint(same)
    half = copy.deepcopy(model).bfloat16()
    assert weights_fingerprint(model) != weights_fingerprint(half)


def test_a_file_counts_by_its_content(tmp_path):
    path = tmp_path / 'a.txt'
    assert path_fingerprint(path) is None
    path.write_bytes(b'one')
    before = path_fingerprint(path)
    path.write_bytes(b'two')
    after = path_fingerprint(path)
    assert len(before) == 32
    assert before != after
    path.rename(tmp_path / 'b.txt')
    assert path_fingerprint(tmp_path / 'b.txt') == after


def test_of_a_folder_all_files_count(tmp_path):
    (tmp_path / 'unet').mkdir()
    (tmp_path / 'unet/weights').write_bytes(b'one')
    (tmp_path / 'config.json').write_bytes(b'{}')
    found = [path_fingerprint(tmp_path)]
    for hidden in ('README.md', '.lock'):
        (tmp_path / hidden).touch()
        assert path_fingerprint(tmp_path) == found[0]
    (tmp_path / 'unet/weights').write_bytes(b'two')
    found.append(path_fingerprint(tmp_path))
    (tmp_path / 'unet/weights').rename(tmp_path / 'unet/other')
    found.append(path_fingerprint(tmp_path))
    (tmp_path / 'unet/empty').touch()
    found.append(path_fingerprint(tmp_path))
    assert len(set(found)) == 4


def test_of_a_large_file_parts_count(tmp_path, monkeypatch):
    """Its size, its ends and what lies between, without reading it all."""
    monkeypatch.setattr(fingerprint, '_WHOLE', 999)
    monkeypatch.setattr(fingerprint, '_PART', 10)
    path, content = tmp_path / 'a', bytearray(1000)
    path.write_bytes(content)
    found = {path_fingerprint(path)}
    for place in (0, 66, 999):
        content[place] = 1
        path.write_bytes(content)
        found.add(path_fingerprint(path))
    path.write_bytes(content + b'\0')
    found.add(path_fingerprint(path))
    assert len(found) == 5
    content[20] = 1  # between two parts
    path.write_bytes(content + b'\0')
    assert path_fingerprint(path) in found


def test_texts_count_with_their_order_and_borders():
    names = [
        text_fingerprint(t) for t in (['ab', 'c'], ['a', 'bc'], ['c', 'ab'])
    ]
    assert len(set(names)) == 3
    assert text_fingerprint(iter(['ab', 'c'])) == names[0]


def test_a_scorer_is_its_weights_its_config_and_its_transforms():
    model, pipeline = nn.Linear(2, 2), [dict(type='Resize', scale=(4, 8))]
    cfg = Config(dict(model=dict(type='X', width=3), seed=1))
    own = scorer_fingerprint(model, cfg, pipeline)
    assert own == scorer_fingerprint(
        model, Config(dict(cfg, seed=2)), pipeline
    )
    other = Config(dict(model=dict(type='X', width=4)))
    assert own != scorer_fingerprint(model, other, pipeline)
    assert own != scorer_fingerprint(model, cfg, [dict(type='Resize')])
    assert own != scorer_fingerprint(nn.Linear(2, 2), cfg, pipeline)
