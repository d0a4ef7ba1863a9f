"""The tools of the data engine, used wrongly: one sentence, no traceback."""

import errno
import importlib.util
import json
import os
import shutil
import sys

import pytest
from engine_content import content
from judged_run import judged_run

from mmtpr.utils.run_lock import hold_lock

CONFIG = """
write = dict(
    num=8, block_size=4, seed=0, metadata=dict(gender=['man', 'woman']),
    writer=dict(type='mmtpr.GrammarWriter'))
render = dict(
    per_record=2, seed=0,
    renderer=dict(type='mmtpr.ProceduralRenderer', size=(64, 32)))
judges = dict(image=dict(type='mmtpr.ImageJudge'))
assemble = dict(rule=[dict(field='vlm.same', min=3)], val_share=0.2)
"""
TOOLS = dict(
    write='write_quadruples', render='render_pairs', judge='judge_pairs'
)
FOLDERS = dict(write='write', render='render', judge='judges/image')
STAGES = list(TOOLS)


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text(CONFIG, encoding='utf-8')
    return path


@pytest.fixture
def tool(repo_root, config, monkeypatch):
    """Call a tool in this process."""

    def call(name, run, *more):
        path = repo_root / 'tools/synthesis' / f'{name}.py'
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        args = [str(path), str(config), str(run), *map(str, more)]
        monkeypatch.setattr(sys, 'argv', args)
        module.main()

    return call


@pytest.fixture
def step(tool):
    """Call the tool of a stage, after those of the stages before it."""

    def call(stage, run, *more, alone=False):
        first = STAGES.index(stage) if alone else 0
        for name in STAGES[first : STAGES.index(stage) + 1]:
            judge = ['--judge', 'image'] if name == 'judge' else []
            last = more if name == stage else ()
            tool(TOOLS[name], run, *judge, *last)

    return call


@pytest.fixture
def told():
    """The sentence that a tool ends with; a traceback is another error."""

    def call(function, *args, **kwargs):
        with pytest.raises(SystemExit) as error:
            function(*args, **kwargs)
        text = str(error.value)
        assert text.startswith('error: ')
        assert '\n' not in text
        return text

    return call


def fill_disk(monkeypatch, after):
    """Let the disk be full after so many files."""
    real, count = os.fsync, []

    def fsync(number):
        count.append(number)
        if len(count) > after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(number)

    monkeypatch.setattr(os, 'fsync', fsync)


@pytest.mark.parametrize('after', [0, 2])
@pytest.mark.parametrize('stage', STAGES)
def test_a_full_disk(step, told, tmp_path, monkeypatch, stage, after):
    run, other = tmp_path / 'run', tmp_path / 'other'
    step(stage, other)
    if stage != 'write':
        before = STAGES[STAGES.index(stage) - 1]
        step(before, run)
    with monkeypatch.context() as patch:
        fill_disk(patch, after)
        text = told(step, stage, run, alone=True)
    assert text.startswith('error: The disk is full: "')
    assert text.endswith('Make room and start again.')
    step(stage, run, alone=True)
    folder = FOLDERS[stage]
    assert content(run / folder) == content(other / folder)


def test_a_full_disk_when_assembling(tool, told, tmp_path, monkeypatch):
    judged_run(tmp_path / 'run')
    for after in range(8):  # files of triplets, scores, report, drawings
        with monkeypatch.context() as patch:
            fill_disk(patch, after)
            text = told(tool, 'assemble_triplets', tmp_path / 'run')
        assert text.startswith('error: The disk is full: "')
    tool('assemble_triplets', tmp_path / 'run')
    assert json.loads((tmp_path / 'run/assembled/SynCPR.json').read_text())


def test_a_run_below_a_file_and_numbers_of_no_sense(step, told, tmp_path):
    (tmp_path / 'file').touch()
    text = told(step, 'write', tmp_path / 'file')
    assert text.endswith(
        f'cannot be written: "{tmp_path}/file/write": Not a directory.'
    )
    for option, match in (
        ('write.seed=-1', 'write.seed must be a whole number of at least 0'),
        ("write.metadata=['age']", 'metadata must be a dict of lists'),
        ('write.check.caption_words=5', 'caption_words must be the fewest'),
    ):
        text = told(step, 'write', tmp_path / 'run', '--cfg-options', option)
        assert match in text
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('stage', STAGES)
def test_two_runs_in_one_folder(step, told, tmp_path, stage):
    run = tmp_path / 'run'
    if stage != 'write':
        step(STAGES[STAGES.index(stage) - 1], run)
    with hold_lock(run / FOLDERS[stage] / '.lock', 'it'):
        text = told(step, stage, run, alone=True)
    assert f'in use by process {os.getpid()} of this host' in text


def test_two_runs_that_assemble(tool, told, tmp_path):
    judged_run(tmp_path / 'run')
    with hold_lock(tmp_path / 'run/assembled/.lock', 'it'):
        text = told(tool, 'assemble_triplets', tmp_path / 'run')
    assert f'in use by process {os.getpid()} of this host' in text


@pytest.mark.parametrize(
    ('stage', 'change', 'match'),
    [
        ('write', 'write.seed=1', 'seed: 0 there, 1 now'),
        ('write', 'write.num=9', 'num: 8 there, 9 now'),
        ('render', 'render.seed=1', 'seed: 0 there, 1 now'),
        (
            'judge',
            'judges.image.sample_size=9',
            'judge.sample_size: 512 there, 9 now',
        ),
    ],
)
def test_a_changed_config(step, told, tmp_path, stage, change, match):
    run = tmp_path / 'run'
    step(stage, run)
    before = content(run)
    text = told(step, stage, run, '--cfg-options', change, alone=True)
    assert f'was begun with other settings ({match}' in text
    assert content(run) == before


def test_assembling_by_another_rule(tool, told, tmp_path):
    run = tmp_path / 'run'
    judged_run(run)
    tool('assemble_triplets', run)
    before = content(run)
    options = '--cfg-options', 'assemble.val_share=0.3'
    text = told(tool, 'assemble_triplets', run, *options)
    assert '(val_share: 0.2 there, 0.3 now)' in text
    assert content(run) == before
    tool('assemble_triplets', run, '--out', tmp_path / 'other', *options)


@pytest.mark.parametrize('stage', ['render', 'judge'])
def test_rows_of_another_run(step, told, tmp_path, stage):
    run, other = tmp_path / 'run', tmp_path / 'other'
    step(stage, run)
    before = STAGES[STAGES.index(stage) - 1]
    step(before, other, '--cfg-options', f'{before}.seed=1')
    shutil.rmtree(run / before)
    shutil.copytree(other / before, run / before)
    text = told(step, stage, run, alone=True)
    assert 'were made from those of another run' in text


@pytest.mark.parametrize(
    ('part', 'match'),
    [
        ('write', 'were rendered from records of another run'),
        ('render', 'were rendered from records of another run'),
        ('judges/vlm', 'The judge "vlm" judged pairs of another run'),
    ],
)
def test_assembling_parts_of_two_runs(tool, told, tmp_path, part, match):
    run, other = tmp_path / 'run', tmp_path / 'other'
    judged_run(run)
    judged_run(other, 30)
    shutil.rmtree(run / part)
    shutil.copytree(other / part, run / part)
    assert match in told(tool, 'assemble_triplets', run)


def test_a_stage_that_was_not_run(tool, step, told, tmp_path):
    run = tmp_path / 'run'
    text = told(tool, 'assemble_triplets', run)
    assert 'No judge has judged in' in text
    judged_run(run)
    (run / 'render/summary.json').unlink()
    text = told(tool, 'assemble_triplets', run)
    assert 'is not done: run it to its end first' in text


@pytest.mark.parametrize(
    ('stage', 'old', 'new', 'absent'),
    [
        ('write', 'GrammarWriter', 'OpenAIWriter', 'openai'),
        ('write', 'GrammarWriter', 'TransformersWriter', 'transformers'),
        ('render', 'ProceduralRenderer', 'DiffusersRenderer', 'diffusers'),
        ('judge', 'ImageJudge', 'TransformersJudge', 'transformers'),
    ],
)
def test_an_absent_library(
    step, told, config, tmp_path, monkeypatch, stage, old, new, absent
):
    run = tmp_path / 'run'
    if stage != 'write':
        step(STAGES[STAGES.index(stage) - 1], run)
    text = CONFIG.replace(', size=(64, 32)', '')
    config.write_text(text.replace(f"{old}'", f"{new}', model='x'"))
    monkeypatch.setitem(sys.modules, absent, None)
    text = told(step, stage, run, alone=True)
    assert f'"{absent}", which cannot be imported' in text
    assert 'pip install "mmtpr[synthesis]"' in text


def test_ray_is_absent(step, told, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'ray', None)
    text = told(step, 'write', tmp_path / 'run', '--launcher', 'ray')
    assert '--launcher ray needs "ray", which cannot be imported' in text


def test_shards_without_webdataset(tool, told, tmp_path, monkeypatch):
    judged_run(tmp_path / 'run')
    monkeypatch.setitem(sys.modules, 'webdataset', None)
    options = ['--cfg-options', 'assemble.shard_pairs=4']
    text = told(tool, 'assemble_triplets', tmp_path / 'run', *options)
    assert 'pip install "mmtpr[webdataset]"' in text
    assert not (tmp_path / 'run/assembled/SynCPR.json').exists()


@pytest.mark.parametrize(
    ('change', 'match'),
    [
        ('write = dict(num=3', 'is no valid Python'),
        (
            f'{CONFIG}\nother = dict(num=3)\n',
            'has "other", which no stage reads',
        ),
        ('render = dict(seed=3)', 'The config has no part "write"'),
        ('write = dict(number=3)', "unexpected keyword argument 'number'"),
    ],
)
def test_configs_of_no_sense(step, told, config, tmp_path, change, match):
    config.write_text(change, encoding='utf-8')
    assert match in told(step, 'write', tmp_path / 'run')
