"""tools/analysis/plot_logs.py and the reading of json logs."""

import json
import sys

import numpy as np
import pytest
from mmengine.runner import Runner
from PIL import Image
from toy_parts import toy_config

from mmtpr.visualization.run_logs import read_run


@pytest.fixture
def tool(load_tool):
    return load_tool('plot_logs')


def train(step, loss, epoch=1):
    by_epoch = dict(epoch=epoch) if epoch else {}
    return dict(loss=loss, lr=0.1, time=0.5, **by_epoch, iter=step, step=step)


def val(step, score):
    return {'R@1': score, 'time': 0.25, 'step': step}


def write(folder, *rows, end='', name='20260101_000000'):
    """A log as mmengine writes it."""
    file = folder / name / 'vis_data/scalars.json'
    file.parent.mkdir(parents=True)
    file.write_text(''.join(json.dumps(row) + '\n' for row in rows) + end)
    return folder


def test_the_log_of_a_run_of_mmengine(tmp_path):
    runner = Runner.from_cfg(toy_config(tmp_path / 'work'))
    runner.train()
    run = read_run(tmp_path / 'work', 'toy')
    assert run.series['loss', 'iteration'][0] == [2, 4, 6, 8, 10, 12]
    assert run.series['toy/mean', 'epoch'][0] == [1, 2, 3]
    assert {'loss', 'loss_fit', 'lr', 'toy/mean'} <= {*run.keys}
    assert run.notes == []


def test_runs_by_iterations_validate_between_iterations(tmp_path):
    runner = Runner.from_cfg(
        toy_config(
            tmp_path / 'work',
            iters=10,
            log_processor=dict(by_epoch=False),
        )
    )
    runner.train()
    run = read_run(tmp_path / 'work', 'toy')
    assert run.series['loss', 'iteration'][0] == [2, 4, 6, 8, 10]
    # It logs no iteration there: the last one of training before it.
    assert run.series['toy/mean', 'iteration'][0] == [4, 10]
    assert ('toy/mean', 'epoch') not in run.series


def test_training_and_validation_stay_apart(tmp_path):
    run = read_run(write(tmp_path, train(5, 2), train(9, 1), val(1, 40)), 'a')
    assert run.series['time', 'iteration'] == ([5, 9], [0.5, 0.5])
    assert run.series['time', 'epoch'] == ([1], [0.25])
    assert run.keys == ['R@1', 'loss', 'lr', 'time']


def test_the_later_log_wins(tmp_path):
    write(tmp_path, train(2, 9), train(4, 8), val(1, 10), train(6, 7, 2))
    later = (train(5, 3, 2), train(8, 2, 2), val(2, 30))
    write(tmp_path, *later, name='20260102_000000')
    run = read_run(tmp_path, 'run')
    assert run.series['loss', 'iteration'] == ([2, 4, 5, 8], [9, 8, 3, 2])
    assert run.series['R@1', 'epoch'] == ([1, 2], [10, 30])
    assert run.notes == [
        'run: 2 logs joined by step; rows replaced by a later log: 1.'
    ]


def test_a_cut_line_is_skipped_and_counted(tmp_path):
    folder = write(tmp_path, train(2, 9), end='{"loss": 1.5, "st')
    run = read_run(folder, 'run')
    assert run.series['loss', 'iteration'] == ([2], [9])
    assert run.notes[0].endswith('scalars.json": 1.')
    assert 'damaged lines skipped' in run.notes[0]


def test_where_logs_are_looked_for(tmp_path):
    write(tmp_path, train(2, 9))
    file = tmp_path / '20260101_000000/vis_data/scalars.json'
    for place in (tmp_path, file.parent, file.parent.parent, file):
        assert read_run(place, 'run').series['loss', 'iteration'][1] == [9]
    stamped = file.with_name('20260101_000000.json')
    file.rename(stamped)
    (stamped.parent / 'other.json').write_text('{}')
    assert read_run(tmp_path, 'run').series['loss', 'iteration'][1] == [9]
    # A test in the same work dir writes its result under such a name.
    result = tmp_path / '20260109_000000/20260109_000000.json'
    result.parent.mkdir()
    result.write_text('{"R@1": 3}\n')
    assert read_run(tmp_path, 'run').notes == []
    with pytest.raises(ValueError, match='is not a log of a run'):
        read_run(result, 'run')


def test_drawing(tool, tmp_path, capsys):
    write(tmp_path / 'a', train(2, 9), train(4, 8), val(1, 10))
    write(tmp_path / 'b', train(2, 7), train(4, 6), end='{')
    out = tmp_path / 'x/out.png'
    tool(tmp_path / 'a', tmp_path / 'b', '--out', out)
    told = capsys.readouterr().out
    assert 'b: nothing logged of R@1.' in told
    assert 'b: damaged lines skipped' in told
    assert '3 panels of 2 runs' in told
    drawn = np.asarray(Image.open(out).convert('RGB')).reshape(-1, 3)
    for colour in ((31, 119, 180), (255, 127, 14)):  # a line for each run
        assert (drawn == colour).all(1).sum() > 100
    pdf = tmp_path / 'out.pdf'
    words = ('--labels', '_a$', 'other', '--keys', 'time', '--out', pdf)
    tool(tmp_path / 'a', tmp_path / 'b', *words)
    assert '2 panels' in capsys.readouterr().out
    assert pdf.read_bytes().startswith(b'%PDF')


def test_messages(tool, tmp_path):
    run = write(tmp_path / 'a', train(2, 9), val(1, 10))
    out = tmp_path / 'out.png'
    for words, text in (
        ((run, '--keys', 'R@2'), r'no run has logged "R@2"; .*: R@1, loss'),
        ((run, '--labels', 'a', 'b'), '2 names for 1 runs'),
        ((run, run), 'Two runs are named'),
        ((tmp_path / 'no',), 'does not exist'),
        ((tmp_path,), 'There is no log of a run'),
        ((run, '--out', tmp_path / 'a.jpg'), r'written to .png or .pdf'),
    ):
        with pytest.raises(SystemExit, match=f'(?i){text}'):
            tool('--out', out, *words)
    assert not out.exists()


def test_what_is_there_stays(tool, tmp_path):
    run = write(tmp_path / 'a', train(2, 9))
    out = tmp_path / 'out.png'
    out.write_text('mine')
    with pytest.raises(SystemExit, match=r'exists already; --overwrite'):
        tool(run, '--out', out)
    assert out.read_text() == 'mine'
    tool(run, '--out', out, '--overwrite')
    assert out.read_bytes().startswith(b'\x89PNG')


def test_without_matplotlib(tool, tmp_path, monkeypatch):
    run = write(tmp_path / 'a', train(2, 9))
    monkeypatch.setitem(sys.modules, 'matplotlib.figure', None)
    with pytest.raises(SystemExit, match=r'pip install "mmtpr\[openmmlab\]"'):
        tool(run, '--out', tmp_path / 'out.png')
    assert not (tmp_path / 'out.png').exists()


def test_what_is_left_out_is_counted(tool, tmp_path, capsys):
    rows = (train(2, 1e308), train(4, -1e308), train(6, 3), {'R@1': 3})
    run = write(tmp_path / 'a', *rows)
    tool(run, '--out', tmp_path / 'out.png')
    told = capsys.readouterr().out
    assert 'a: rows without a step, as of a test, left out' in told
    assert 'beyond +-1e+300, which no axis holds, left out: 2.' in told
    assert (tmp_path / 'out.png').is_file()
