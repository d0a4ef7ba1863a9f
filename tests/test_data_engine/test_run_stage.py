"""Stages of the data engine: run once, whatever happens."""

import errno
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
from engine_content import content
from engine_stages import Numbers, Squares

from mmtpr.data_engine import StageFolder, run_stage
from mmtpr.data_engine.block_files import Journal
from mmtpr.data_engine.command_line import run_from_command_line
from mmtpr.engine import launch
from mmtpr.utils.errors import LaunchError
from mmtpr.utils.run_lock import hold_lock

SCRIPT = Path(__file__).resolve().parents[1] / 'helpers/engine_stages.py'


@pytest.fixture
def place(tmp_path):
    return StageFolder(tmp_path / 'run/write')


def test_rows_and_summary(place):
    counts = run_stage(Numbers(), place)
    assert (counts.rows, counts.kept) == (50, 42)
    assert counts.dropped == {'divisible by 7': 8}
    kept = [row['value'] for row in place.read_all()]
    assert kept == [3 * n for n in range(50) if n % 7]
    assert place.summary == dict(
        rows=50, kept=42, dropped={'divisible by 7': 8}, total=sum(kept)
    )
    assert len(list(place.read_all(dropped=True))) == 50
    assert {p.suffix for p in place.folder.iterdir()} == {'.json', '.jsonl'}


def test_done_is_done(place):
    run_stage(Numbers(), place)
    before = content(place.folder)
    again = Numbers()
    assert run_stage(again, place).rows == 50
    assert again.done == []
    assert content(place.folder) == before


@pytest.mark.parametrize('rows', [0, 1, 7, 8, 29, 49])
def test_a_killed_run_goes_on(place, rows, tmp_path):
    command = [sys.executable, SCRIPT, place.folder.parent, '0', '1']
    done = subprocess.run([*command, str(rows)], check=False)
    assert done.returncode == 9
    if rows == 29:  # the last row was cut off as well
        (journal,) = place.folder.glob('*.journal')
        journal.write_bytes(journal.read_bytes()[:-5])
        rows -= 1
    stage = Numbers()
    run_stage(stage, place)
    assert len(stage.done) == 50 - rows
    other = StageFolder(tmp_path / 'other')
    run_stage(Numbers(), other)
    assert content(place.folder) == content(other.folder)


def test_two_processes_write_the_same(run_together, tmp_path):
    several, one = tmp_path / 'several', tmp_path / 'one'
    run_together(*([SCRIPT, several, rank, 2] for rank in range(2)))
    run_together([SCRIPT, one, 0, 1])
    found = content(one)
    assert found.keys() >= {'write/summary.json', 'render/summary.json'}
    assert content(several) == found


def test_a_stage_reads_what_the_one_before_kept(place, tmp_path):
    render = StageFolder(tmp_path / 'run/render')
    with pytest.raises(LaunchError, match='run the stage before first'):
        run_stage(Squares(place), render)
    run_stage(Numbers(), place)
    assert run_stage(Squares(place), render).rows == 84
    (place.folder / 'summary.json').unlink()
    with pytest.raises(LaunchError, match=r'"write".* is not done'):
        run_stage(Squares(place), render)


def test_other_settings_are_named(place):
    run_stage(Numbers(), place)
    with pytest.raises(LaunchError, match=r'\(seed: 3 there, 4 now\)'):
        run_stage(Numbers(seed=4), place)
    with pytest.raises(LaunchError, match=r'odd.size: 8 there, 9 now; total'):
        run_stage(Numbers(total=51, size=9), place)


def test_rows_of_another_run(place, tmp_path):
    run_stage(Numbers(), place)
    render = StageFolder(tmp_path / 'run/render')
    run_stage(Squares(place), render)
    other = StageFolder(tmp_path / 'other')
    run_stage(Numbers(), other)
    with pytest.raises(LaunchError, match='those of another run'):
        run_stage(Squares(other), render)
    with pytest.raises(LaunchError, match='holds the stage "render"'):
        run_stage(Numbers(), render)


def test_two_runs_in_one_folder(place):
    with (
        hold_lock(place.folder / '.lock', 'it'),
        pytest.raises(LaunchError, match=r'The stage "write" in .*run'),
    ):
        run_stage(Numbers(), place)


def test_a_folder_of_something_else(place):
    place.folder.mkdir(parents=True)
    (place.folder / 'thesis.tex').touch()
    with pytest.raises(LaunchError, match=r'other files, e.g. "thesis.tex"'):
        run_stage(Numbers(), place)


@pytest.mark.parametrize('damage', ['cut', 'empty', 'other'])
def test_a_damaged_block_is_made_again(place, damage, caplog):
    run_stage(Numbers(), place)
    before = content(place.folder)
    block = place.blocks.path(2)
    text = block.read_bytes()
    block.write_bytes(
        dict(cut=text[:-30], empty=b'', other=b'{}\n' + text[:40])[damage]
    )
    with pytest.raises(ValueError, match='run the stage again'):
        list(place.read(2))
    stage = Numbers()
    run_stage(stage, place)
    assert len(stage.done) == 8
    assert content(place.folder) == before


def test_a_full_disk_keeps_the_rows_before(place, monkeypatch):
    class Full:
        def __init__(self, file):
            self.file = file

        def write(self, content):
            self.file.write(content[:10])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def close(self):
            self.file.close()

    add, count = Journal.add, []

    def planted(journal, row):
        count.append(row)
        if len(count) == 21:
            journal._file = Full(journal._file)
        add(journal, row)

    monkeypatch.setattr(Journal, 'add', planted)
    with pytest.raises(LaunchError, match='The disk is full'):
        run_stage(Numbers(), place)
    monkeypatch.setattr(Journal, 'add', add)
    stage = Numbers()
    run_stage(stage, place)
    assert len(stage.done) == 30
    assert [r['value'] for r in place.read_all()][:3] == [3, 6, 9]


def test_a_stage_that_forgets_a_row(place):
    class Forgetful(Numbers):
        def process(self, items):
            yield from list(super().process(items))[1:]

    with pytest.raises(RuntimeError, match='made no row for "000007"'):
        run_stage(Forgetful(), place)


@pytest.mark.parametrize(('rank', 'who'), [('0', ''), ('1', ' (process 1)')])
def test_every_process_says_why_it_ends(
    place, tmp_path, monkeypatch, rank, who
):
    class OutOfMemory(Numbers):
        def process(self, items):
            raise LaunchError('The GPU has no room for 4 images.')

    def ended(build):
        with pytest.raises(SystemExit) as caught:
            run_from_command_line(args, tmp_path, build)
        return caught.value.code

    config = tmp_path / 'config.py'
    config.write_text('write = dict(num=1)\n')
    args = Namespace(config=str(config), cfg_options=None, launcher='none')
    monkeypatch.setenv('RANK', rank)
    monkeypatch.setattr(sys, 'argv', ['tool'])
    wanted = f'error{who}: The GPU has no room for 4 images.'
    assert ended(lambda cfg: (OutOfMemory(), place)) == wanted
    # What all meet alike, the first process has time to say.
    waits = []
    monkeypatch.setattr(launch.time, 'sleep', waits.append)
    args.config = str(tmp_path / 'none.py')
    assert ended(None).startswith(f'error{who}: The config "')
    assert len(waits) == int(rank)
