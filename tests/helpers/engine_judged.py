"""A small run of the data engine up to its pairs."""

from mmtpr.data_engine import (
    GrammarWriter,
    JudgeStage,
    ProceduralRenderer,
    RenderStage,
    StageFolder,
    WriteStage,
    run_stage,
)


def write_run(run, num=6, faults=None, per_record=2):
    """Write and render; gives the rows of the pairs."""
    source = StageFolder(run / 'write')
    lists = dict(gender=['man', 'woman'])
    run_stage(WriteStage(num, lists, GrammarWriter(), block_size=4), source)
    stage = RenderStage(
        source,
        run / 'render/images',
        ProceduralRenderer((64, 32), faults, quality=2.0),
        per_record,
    )
    folder = StageFolder(run / 'render')
    run_stage(stage, folder)
    return list(folder.read_all())


def folders_of(run):
    """What a judge reads: records, pairs and images."""
    folders = StageFolder(run / 'write'), StageFolder(run / 'render')
    return *folders, run / 'render/images'


def judge_stage(run, judge):
    """The stage of a judge."""
    return JudgeStage(*folders_of(run), judge)


def judged(run, judge, name='x'):
    """Folder of the judge, and its rows by key."""
    folder = StageFolder(run / 'judges' / name)
    run_stage(judge_stage(run, judge), folder)
    return folder, {row['key']: row for row in folder.read_all()}
