"""Pairs of images: the same whatever happens, and faults at their rates."""

import errno
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from engine_content import content

from mmtpr.data_engine import (
    GrammarWriter,
    ProceduralRenderer,
    RenderStage,
    StageFolder,
    WriteStage,
    run_stage,
)
from mmtpr.data_engine.image_files import ImageFiles
from mmtpr.data_engine.renderers.damage import DAMAGES, damage
from mmtpr.utils.errors import LaunchError

SCRIPT = Path(__file__).resolve().parents[1] / 'helpers/engine_render.py'
FAULTS = dict(another_look=0.2, same_clothes=0.2, damaged=0.2)


def write(run, num=9, **faults):
    stage = WriteStage(
        num,
        dict(gender=['man', 'woman']),
        GrammarWriter(faults),
        dict(names_difference=False),
        block_size=4,
    )
    folder = StageFolder(run / 'write')
    run_stage(stage, folder)
    return folder


def stage(run, faults=None, **kwargs):
    renderer = ProceduralRenderer((64, 32), faults)
    defaults = dict(per_record=3)
    return RenderStage(
        StageFolder(run / 'write'),
        run / 'render/images',
        renderer,
        **(defaults | kwargs),
    )


def render(run, faults=None, **kwargs):
    folder = StageFolder(run / 'render')
    counts = run_stage(stage(run, faults, **kwargs), folder)
    return counts, list(folder.read_all(dropped=True))


def test_rows_and_images(tmp_path):
    write(tmp_path)
    counts, rows = render(tmp_path)
    assert (counts.rows, counts.kept) == (27, 27)
    assert [row['key'] for row in rows[:4]] == [
        *('000000-00', '000000-01', '000000-02', '000001-00'),
    ]
    row = rows[4]
    assert row | dict(seed=0) == dict(
        key='000001-01',
        index=1,
        pair=1,
        reference_image='00000/000001-01_reference.jpg',
        target_image='00000/000001-01_target.jpg',
        seed=0,
        beta=None,
        renderer='procedural',
        prompt_version='',
        truth=dict(fault=''),
    )
    shown = [
        cv2.imread(str(tmp_path / 'render/images' / row[f'{side}_image']))
        for row in rows
        for side in ('reference', 'target')
    ]
    assert {image.shape for image in shown} == {(64, 32, 3)}
    assert len({image.tobytes() for image in shown}) == 54


def test_half_written_files_of_a_killed_run_are_removed(tmp_path):
    """Those of blocks and images that are made now, and nothing else."""
    source = write(tmp_path)
    folder = StageFolder(tmp_path / 'render')
    folder.open('render', stage(tmp_path).settings(), [source], 3)
    names = (
        'images/00000/.000001-01_target.jpg._7ojqwul',
        'images/00000/.000008-02_reference.jpg.abcdefgh',
        '.block-000001.jsonl.abcdefgh',
        '.summary.json.abcdefgh',
    )
    others = (
        'images/00000/.000001-77_target.jpg.abcdefgh',
        '.block-000001.jsonl.mine',
    )
    for name in (*names, *others):
        path = tmp_path / 'render' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    counts, _ = render(tmp_path)
    assert counts.kept == 27
    left = (tmp_path / 'render').rglob('.*')
    found = {p.relative_to(tmp_path / 'render').as_posix() for p in left}
    assert found == {*others}
    # A block that is done is not looked at again.
    again = tmp_path / 'render' / names[0]
    again.touch()
    render(tmp_path)
    assert again.exists()


@pytest.mark.parametrize('rows', [0, 17])
def test_a_killed_run_goes_on(tmp_path, rows):
    run, other = tmp_path / 'run', tmp_path / 'other'
    for place in (run, other):
        write(place)
    command = [sys.executable, SCRIPT, run, '0', '1', str(rows)]
    assert subprocess.run(command, check=False).returncode == 9
    made = sorted((run / 'render/images').rglob('*.jpg'))
    assert len(made) == 2 * rows + 2  # those of the row that is missing
    render(run, FAULTS)
    render(other, FAULTS)
    assert content(run / 'render') == content(other / 'render')


def test_two_processes_render_the_same(run_together, tmp_path):
    several, one = tmp_path / 'several', tmp_path / 'one'
    for place in (several, one):
        write(place)
    run_together(*([SCRIPT, several, rank, 2] for rank in range(2)))
    render(one, FAULTS)
    found = content(several / 'render')
    assert len(found) > 54
    assert found == content(one / 'render')


def test_faults_at_their_rates(tmp_path):
    """Only where the record is right, and the truth says which."""
    write(tmp_path, num=40, wrong_caption=0.3)
    _, rows = render(tmp_path, FAULTS, per_record=4)
    found = Counter(row['truth']['fault'] for row in rows)
    records = {
        row['index']: row['truth']['fault']
        for row in StageFolder(tmp_path / 'write').read_all()
    }
    wrong = 4 * sum(fault != '' for fault in records.values())
    assert found.pop('wrong_caption') == wrong
    right = 160 - wrong
    for name, rate in FAULTS.items():
        assert found[name] == pytest.approx(rate * right, abs=15), name
    kinds = Counter(row['truth'].get('how') for row in rows)
    assert kinds.keys() == {None, *DAMAGES}
    # Without faults the same pairs but for the faulty ones.
    clean = tmp_path / 'clean'
    write(clean, num=40, wrong_caption=0.3)
    _, others = render(clean, per_record=4)
    for row, other in zip(rows, others, strict=True):
        paths = [
            run / 'render/images' / one['target_image']
            for run, one in ((tmp_path, row), (clean, other))
        ]
        same = paths[0].read_bytes() == paths[1].read_bytes()
        whole = row['truth'].get('where') == 'reference'
        ours = row['truth']['fault'] in FAULTS
        assert same == (whole or not ours)


@pytest.mark.parametrize('how', DAMAGES)
def test_damage_can_be_seen(how):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (64, 32, 3), np.uint8)
    found = damage(image, how, rng)
    assert found.shape == image.shape
    assert (found != image).any(-1).mean() > 0.1
    with pytest.raises(ValueError, match='There is no damage "fog"'):
        damage(image, 'fog', rng)


def test_folders_hold_ten_thousand_files_at_most():
    files = ImageFiles(Path('x'), per_record=7)
    names = Counter(
        files.name('k', index, side).split('/')[0]
        for index in range(3000)
        for side in ('reference', 'target')
        for _ in range(7)
    )
    assert max(names.values()) <= 10_000
    assert len(names) == 5


def test_a_full_disk_stops_and_what_was_done_stays(tmp_path, monkeypatch):
    write(tmp_path)
    replace, count = os.replace, []

    def full(source, target):
        if str(target).endswith('.jpg'):
            count.append(target)
            if len(count) == 12:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(os, 'replace', full)
    with pytest.raises(LaunchError, match=r'The disk is full: ".*jpg"'):
        render(tmp_path)
    found = sorted((tmp_path / 'render/images').rglob('*'))
    made = [path for path in found if path.is_file()]
    assert len(made) == 11
    assert {path.suffix for path in made} == {'.jpg'}
    monkeypatch.undo()
    times = {path: path.stat().st_mtime_ns for path in made[:10]}
    counts, _ = render(tmp_path)
    assert counts.kept == 27
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())


def test_records_without_people(tmp_path):
    class Wordy(GrammarWriter):
        def answer(self, requests):
            for request, answer in super().answer(requests):
                answer.more.pop('spec')
                yield request, answer

    source = StageFolder(tmp_path / 'write')
    run_stage(WriteStage(3, dict(gender=['man']), Wordy()), source)
    counts, _ = render(tmp_path)
    assert counts.dropped == {'the record has no people to draw': 9}


@pytest.mark.parametrize(
    ('change', 'match'),
    [
        (dict(per_record=-1), 'render.per_record must be'),
        (dict(per_record=0), 'render.per_record must be .* got 0'),
        (dict(seed=-1), 'render.seed must be .* at least 0, got -1'),
        (dict(per_record=6000), 'from 1 to 5000'),
        (dict(quality=101), 'render.quality must be'),
    ],
)
def test_settings_of_no_sense(tmp_path, change, match):
    with pytest.raises(ValueError, match=match):
        stage(tmp_path, **change)
