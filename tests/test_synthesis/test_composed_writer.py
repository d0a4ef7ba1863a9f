import hashlib
import json
import subprocess
import sys

import cv2
import pytest

from mmtpr.registry import DATASETS
from mmtpr.synthesis import ComposedSettings, write_composed_toy_data

SMALL = ComposedSettings(size=(64, 32), train=6, val=2, test=4)


def digest(folder):
    found = hashlib.sha256()
    for path in sorted(folder.rglob('*')):
        if path.is_file():
            found.update(str(path.relative_to(folder)).encode())
            found.update(path.read_bytes())
    return found.hexdigest()


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp('composed') / 'toy'
    assert write_composed_toy_data(folder, SMALL)
    return folder


def test_triplets_load_as_syncpr(written):
    data = DATASETS.build(
        dict(type='mmtpr.SynCPR', data_root=str(written / 'train'))
    )
    assert len(data) == 24
    assert data.metainfo['num_pids'] == 12
    sample = data.get_data_info(0)
    assert sample['reference_path'] != sample['img_path']
    for path in (sample['reference_path'], sample['img_path']):
        assert cv2.imread(path).shape == (64, 32, 3)


@pytest.mark.parametrize(('split', 'people'), [('val', 2), ('test', 4)])
def test_test_sets_load_as_itcpr(written, split, people):
    data = DATASETS.build(
        dict(
            type='mmtpr.ITCPR',
            data_root=str(written / split),
            broken_images='skip',
        )
    )
    assert data.metainfo['num_queries'] == 2 * people
    assert data.metainfo['num_gallery'] == 6 * people
    assert data.metainfo['num_distractors'] == 4 * people
    report = {k: v for k, v in data.load_report.items() if v}
    assert not report


def test_people_of_the_splits_differ(written):
    faces = [
        (written / split / 'imgs/00001_0_0.jpg').read_bytes()
        for split in ('train', 'val', 'test')
    ]
    assert len(set(faces)) == 3


def test_files_depend_on_the_seed_and_not_on_processes(written, tmp_path):
    assert write_composed_toy_data(tmp_path / 'a', SMALL, processes=2)
    assert digest(tmp_path / 'a') == digest(written)
    other = ComposedSettings(**{**vars(SMALL), 'seed': 1})
    assert write_composed_toy_data(tmp_path / 'b', other)
    texts = [
        json.loads((folder / 'test/query.json').read_text())
        for folder in (written, tmp_path / 'b')
    ]
    assert texts[0] != texts[1]


def test_other_content_is_an_error(written, tmp_path):
    before = digest(written)
    assert not write_composed_toy_data(written, SMALL)
    assert digest(written) == before
    other = ComposedSettings(**{**vars(SMALL), 'train': 7})
    with pytest.raises(FileExistsError, match=r"differs in \['train'\]"):
        write_composed_toy_data(written, other)
    with pytest.raises(FileExistsError, match='is no toy data'):
        write_composed_toy_data(tmp_path, SMALL)


def test_a_failed_run_leaves_nothing(tmp_path, monkeypatch):
    def fail(*args):
        raise OSError('disk full')

    monkeypatch.setattr('mmtpr.synthesis.composed_writer.draw_all', fail)
    with pytest.raises(OSError, match='disk full'):
        write_composed_toy_data(tmp_path / 'toy', SMALL)
    assert not list(tmp_path.iterdir())


def test_tool(repo_root, tmp_path):
    command = [
        *(sys.executable, 'tools/synthesis/write_composed_toy_data.py'),
        *('--out', str(tmp_path / 'toy'), '--size', '32', '16'),
        *('--train', '2', '--val', '1', '--test', '1', '--processes', '1'),
    ]
    for expected in ('Wrote', 'nothing written'):
        done = subprocess.run(
            command, cwd=repo_root, capture_output=True, text=True, check=True
        )
        assert expected in done.stdout
    records = json.loads((tmp_path / 'toy/train/SynCPR.json').read_text())
    assert len(records) == 8
