"""Stages on Ray: the same files, also when a worker dies."""

import functools
import os
import subprocess
import sys

import pytest
from engine_content import content
from engine_stages import Numbers
from mortal_stage import FEW, build

from mmtpr.data_engine import StageFolder, run_stage, run_stage_with_ray
from mmtpr.data_engine.ray_stage import _WORK
from mmtpr.utils.errors import LaunchError


@pytest.fixture(scope='module')
def ray():
    pytest.importorskip('pyarrow', reason='needs the extra [ray]')
    ray = pytest.importorskip('ray', reason='needs the extra [ray]')
    pytest.importorskip('ray.data', reason='needs the extra [ray]')
    paths = os.pathsep.join(path for path in sys.path if path)
    ray.init(
        address='local',
        num_cpus=6,  # two logical CPUs are too few for a resume
        include_dashboard=False,
        runtime_env=dict(env_vars=dict(PYTHONPATH=paths)),
    )
    yield ray
    ray.shutdown()


@pytest.fixture
def made(tmp_path):
    place = tmp_path / 'run/write'
    notes = tmp_path / 'notes'
    notes.mkdir()
    return place, notes


@pytest.fixture
def wanted(tmp_path):
    folder = StageFolder(tmp_path / 'one/write')
    run_stage(Numbers(total=FEW, size=4), folder)
    return content(folder.folder)


def done(notes):
    """Keys that were worked on, and by how many processes."""
    lines = (notes / 'done').read_text(encoding='utf-8').splitlines()
    keys, pids = zip(*(line.split() for line in lines), strict=True)
    return list(keys), set(pids)


@pytest.mark.dist
def test_a_worker_that_dies_once(ray, made, wanted):
    place, notes = made
    task = functools.partial(build, place, notes, deaths=1)
    counts = run_stage_with_ray(task, workers=2)
    assert (counts.rows, counts.kept) == (FEW, 17)
    assert (notes / 'died').read_text() == '.'
    assert content(place) == wanted
    keys, pids = done(notes)
    # One row was lost with its process; none that was written was repeated.
    assert sorted(keys) == sorted(
        [f'{n:06d}' for n in range(FEW)] + ['000010']
    )
    assert str(os.getpid()) not in pids
    before = keys
    run_stage_with_ray(task)
    assert done(notes)[0] == before


@pytest.mark.dist
def test_a_run_that_was_stopped_goes_on(ray, made, wanted):
    place, notes = made
    with pytest.raises(LaunchError, match=r'^The disk is full: planted\.$'):
        run_stage_with_ray(functools.partial(build, place, notes, full=True))
    assert (place / _WORK).is_dir()
    there = {p.name for p in place.glob('*.jsonl')}
    assert len(there) < FEW / 4
    # A block that Ray takes for done is gone; the rest is made by Ray, too.
    for name in there:
        (place / name).unlink()
    run_stage_with_ray(functools.partial(build, place, notes))
    assert content(place) == wanted
    assert not (place / _WORK).exists()


@pytest.mark.dist
def test_a_block_that_always_ends_its_worker(ray, made, wanted):
    place, notes = made
    with pytest.raises(LaunchError, match=r'Block 2 .* 3 times'):
        run_stage_with_ray(functools.partial(build, place, notes, deaths=9))
    run_stage(*build(place, notes))
    assert content(place).keys() >= wanted.keys()
    assert {k: v for k, v in content(place).items() if k in wanted} == wanted


@pytest.mark.dist
def test_the_tool_starts_ray_by_itself(ray, repo_root, tmp_path):
    tool = repo_root / 'tools/synthesis/write_quadruples.py'
    config = repo_root / 'configs/synthesis/syncpr_toy.py'
    options = ['--cfg-options', 'write.num=20', 'write.block_size=5']
    for name, more in (('one', []), ('several', ['--launcher', 'ray'])):
        command = [sys.executable, tool, config, tmp_path / name, *options]
        subprocess.run(
            [*command, *more],
            check=True,
            env=os.environ | dict(RAY_ADDRESS='local'),
        )
    found = content(tmp_path / 'one')
    assert 'write/summary.json' in found
    assert content(tmp_path / 'several') == found


def test_a_cluster_that_does_not_answer(made, monkeypatch):
    ray = pytest.importorskip('ray', reason='needs the extra [ray]')

    def refuse(address):
        raise ConnectionError(address)

    monkeypatch.setenv('RAY_ADDRESS', 'nowhere:6379')
    monkeypatch.setattr(ray, 'init', refuse)
    monkeypatch.setattr(ray, 'is_initialized', lambda: False)
    with pytest.raises(LaunchError, match=r'No cluster .* at nowhere:6379'):
        run_stage_with_ray(functools.partial(build, *made))


def test_without_ray(made, monkeypatch):
    monkeypatch.setitem(sys.modules, 'ray', None)
    with pytest.raises(ImportError, match=r'pip install "mmtpr\[ray\]"'):
        run_stage_with_ray(functools.partial(build, *made))
    assert not made[0].exists()
