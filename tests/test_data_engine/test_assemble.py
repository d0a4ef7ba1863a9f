"""From judged pairs to files of triplets."""

import errno
import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from judged_run import Judge, Render, judged_run
from PIL import Image

from mmtpr.data_engine import StageFolder, run_stage
from mmtpr.data_engine.assemble import (
    Assembly,
    assemble,
    faults_found,
    read_table,
)
from mmtpr.datasets import SynCPR, TripletFilteredDataset
from mmtpr.utils.errors import LaunchError
from mmtpr.utils.run_lock import hold_lock

RULE = [
    dict(field='vlm.same', min=3),
    dict(field='vlm.quality', keep=0.9),
]


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    return judged_run(tmp_path_factory.mktemp('run'))


@pytest.fixture(scope='module')
def done(run, tmp_path_factory):
    out = tmp_path_factory.mktemp('out') / 'assembled'
    return out, assemble(Assembly(RULE, val_share=0.2), *run, out)


def read(out, name):
    return json.loads((out / name).read_text(encoding='utf-8'))


def test_triplets_of_what_passed_in_both_directions(run, done):
    out, report = done
    write, render, judges = run
    records = {row['index']: row for row in write.read_all()}
    pairs = {row['key']: row for row in render.read_all()}
    rows = {row['key']: row for row in judges['vlm'].read_all()}
    triplets = [*read(out, 'SynCPR.json'), *read(out, 'SynCPR_val.json')]
    found = defaultdict(list)
    for triplet in triplets:
        found[triplet['pair']].append(triplet)
    quality = np.array([r['scores']['quality'] for r in rows.values()])
    limit = np.sort(quality)[::-1][round(0.9 * len(quality)) - 1]
    wanted = {
        key
        for key, row in rows.items()
        if row['scores']['same'] >= 3 and row['scores']['quality'] >= limit
    }
    assert found.keys() == wanted
    assert 20 < len(wanted) < len(rows)
    for key, (there, back) in found.items():
        record, pair = records[pairs[key]['index']], pairs[key]
        assert there['reference_caption'] == record['reference_caption']
        assert there['target_image_path'] == pair['target_image']
        assert there['edit_caption'] == record['edit']
        assert back['reference_image_path'] == pair['target_image']
        assert back['target_caption'] == record['reference_caption']
        assert back['edit_caption'] == record['reverse_edit']
        assert there['cpr_id'] == 2 * record['index']
        assert back['cpr_id'] == there['cpr_id'] + 1
        assert there['synthetic'] is True
    counts = report['triplets']
    assert counts['train'] + counts['val'] == 2 * len(wanted)
    assert report['rule']['kept'] == len(wanted)


def test_the_cut_is_by_record(done):
    out, report = done
    train, val = (
        {t['cpr_id'] // 2 for t in read(out, name)}
        for name in ('SynCPR.json', 'SynCPR_val.json')
    )
    assert not train & val
    assert len(val) == round(0.2 * len(train | val))
    assert report['triplets']['val_groups'] == 2 * len(val)


def test_the_report_and_the_pictures(done):
    out, report = done
    assert read(out, 'report.json') == report
    stages = report['stages']
    assert stages['render']['dropped'] == {'the pipeline rendered nothing': 6}
    assert stages['judge vlm']['unreadable'] > 0
    term = report['rule']['terms'][0]
    assert term['term'] == 'vlm.same >= 3'
    assert term['drops'] >= term['drops_alone'] > 0
    assert report['fields']['vlm.same']['number'] == 74
    faults = report['planted_faults']
    assert faults.keys() == {'damaged', 'wrong_change'}
    assert faults['damaged']['auc']['vlm.same'] > 0.85
    assert faults['damaged']['kept'] == 0
    for name in ('fields', 'best', 'borderline', 'worst'):
        with Image.open(out / f'{name}.png') as image:
            assert min(image.size) > 200


def test_a_second_call_writes_the_same(run, done, tmp_path):
    out, _ = done
    again = tmp_path / 'again'
    assemble(Assembly(RULE, val_share=0.2), *run, again)
    names = sorted(p.name for p in out.iterdir())
    assert sorted(p.name for p in again.iterdir()) == names
    for name in names:
        if not name.endswith(('.png', '.npz')) and name != 'stage.json':
            assert (again / name).read_bytes() == (out / name).read_bytes()


def test_rows_are_read_once_for_scores_and_once_for_triplets(
    run, tmp_path, monkeypatch
):
    read_rows, blocks = StageFolder.read, Counter()

    def counted(folder, block, dropped=False):
        blocks[folder.folder.name, block] += 1
        return read_rows(folder, block, dropped)

    monkeypatch.setattr(StageFolder, 'read', counted)
    assemble(Assembly(RULE), *run, tmp_path / 'out')
    assert blocks == {('write', 0): 1, ('render', 0): 2, ('vlm', 0): 1}


def test_what_a_killed_call_left_half_written_is_removed(run, tmp_path):
    names = ('SynCPR_all.json', 'triplet_scores.npz', 'best.png', 'stage.json')
    for name in names:
        (tmp_path / f'.{name}.abcdefgh').touch()
    (tmp_path / '.notes.abcdefgh').touch()
    assemble(Assembly(RULE), *run, tmp_path)
    left = [path.name for path in tmp_path.glob('.*')]
    assert left == ['.notes.abcdefgh']


def test_two_at_once(run, done):
    out, _ = done
    with (
        hold_lock(out / '.lock', 'it'),
        pytest.raises(LaunchError, match='in use by process'),
    ):
        assemble(Assembly(RULE, val_share=0.2), *run, out)


@pytest.mark.parametrize(
    ('change', 'match'),
    [
        (
            dict(rule=[dict(field='vlm.same', min=4), RULE[1]]),
            r'rule\[0\].min: 3.0 there, 4.0 now',
        ),
        (
            dict(rule=[dict(field='vlm.same', min=3.0000001), RULE[1]]),
            r'rule\[0\].min: 3.0 there, 3.0000001 now',
        ),
        (
            dict(rule=[RULE[0], dict(RULE[1], best='low')]),
            r"rule\[1\].best: 'high' there, 'low' now",
        ),
        (dict(rule=RULE[:1]), r"rule\[1\]: .* there, 'absent' now"),
        (dict(val_share=0.1), r'val_share: 0.2 there, 0.1 now'),
        (dict(seed=1), r'seed: 0 there, 1 now'),
    ],
)
def test_another_rule_is_refused(run, done, change, match):
    out, _ = done
    before = {path: path.read_bytes() for path in out.iterdir()}
    other = Assembly(**(dict(rule=RULE, val_share=0.2) | change))
    with pytest.raises(LaunchError, match=match):
        assemble(other, *run, out)
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_the_datasets_read_them(run, done):
    out, report = done
    root = str(run[1].folder / 'images')
    train = SynCPR(str(out / 'SynCPR.json'), data_prefix=dict(img_path=root))
    assert len(train) == report['triplets']['train']
    assert Path(train.get_data_info(0)['img_path']).is_file()
    val = SynCPR(
        str(out / 'SynCPR_val.json'),
        data_prefix=dict(img_path=root),
        split='val',
        val_ids='all',
    )
    roles = [val.get_data_info(i)['role'] for i in range(len(val))]
    assert roles.count('query') == report['triplets']['val']
    with pytest.raises(ValueError, match="val_ids='all' must be a number"):
        SynCPR(str(out / 'SynCPR.json'), val_ids='all')


def all_triplets(run, out):
    root = str(run[1].folder / 'images')
    return SynCPR(
        str(out / 'SynCPR_all.json'), data_prefix=dict(img_path=root)
    )


def test_the_wrapper_keeps_what_the_rule_keeps(run, done):
    out, report = done
    whole = all_triplets(run, out)
    assert len(whole) == report['triplets']['all']
    rule = [dict(field='vlm.same', min=3)]
    kept = TripletFilteredDataset(whole, str(out / 'triplet_scores.npz'), rule)
    table = read_table(run[1], run[2])
    same = table.columns['vlm.same'] >= 3
    val = {t['cpr_id'] // 2 for t in read(out, 'SynCPR_val.json')}
    shown = [i not in val for i in table.keys[:, 0]]
    assert len(kept) == 2 * int((same & shown).sum())
    assert 0 < len(kept) < len(whole)
    entry = kept.get_data_info(0)
    assert entry in [whole.get_data_info(i) for i in range(len(whole))]


@pytest.mark.parametrize(
    ('change', 'match'),
    [
        (dict(rule=[dict(field='vlm.age', min=1)]), 'which no judge wrote'),
        (dict(rule=[dict(field='vlm.same', min=99)]), 'keeps none of the'),
        (dict(scores='absent.npz'), 'does not exist'),
        (dict(rule='vlm.same >= 3'), 'A rule is a list of terms'),
    ],
)
def test_what_the_wrapper_refuses(run, done, change, match):
    out, _ = done
    good = dict(
        dataset=all_triplets(run, out),
        scores=str(out / 'triplet_scores.npz'),
        rule=RULE,
    )
    with pytest.raises((ValueError, FileNotFoundError), match=match):
        TripletFilteredDataset(**(good | change))


def test_scores_of_other_triplets(run, done, tmp_path):
    out, _ = done
    triplets = read(out, 'SynCPR_all.json')
    triplets[3]['edit_caption'] = 'In red.'
    scores = str(out / 'triplet_scores.npz')
    for some in (triplets, triplets[:-1]):
        file = tmp_path / 'other.json'
        file.write_text(json.dumps(some))
        with pytest.raises(ValueError, match='belong to other data'):
            TripletFilteredDataset(SynCPR(str(file)), scores, RULE)
    broken = tmp_path / 'scores.npz'
    broken.write_bytes(Path(scores).read_bytes()[:200])
    with pytest.raises(ValueError, match='is not a file of triplet scores'):
        TripletFilteredDataset(all_triplets(run, out), str(broken), RULE)


def test_a_rule_that_names_an_absent_field_or_keeps_nothing(run, tmp_path):
    rule = [dict(field='vlm.age', min=3)]
    with pytest.raises(ValueError, match=r'"vlm.age", which no .* vlm.same'):
        assemble(Assembly(rule), *run, tmp_path)
    rule = [dict(field='vlm.same', min=3), dict(field='vlm.quality', min=99)]
    match = r'keeps none of 74 pairs. "vlm.quality >= 99" alone keeps 0'
    with pytest.raises(LaunchError, match=match):
        assemble(Assembly(rule), *run, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('change', 'match'),
    [
        (dict(rule=[]), 'A rule is a list of terms'),
        (dict(rule=[dict(min=3)]), 'names a field'),
        (dict(rule=[dict(field='a.b')]), 'needs min, max or keep'),
        (dict(rule=[dict(field='a.b', minimum=3)]), 'has "minimum"; known'),
        (dict(rule=[dict(field='a.b', keep=1.5)]), 'at most 1, got 1.5'),
        (dict(rule=[dict(field='a.b', min='3')]), 'must be a number'),
        (dict(val_share=1.0), 'from 0 to below 1'),
        (dict(seed=-1), 'assemble.seed must be'),
        (dict(sheet_pairs=0), 'assemble.sheet_pairs must be'),
    ],
)
def test_settings_of_no_sense(change, match):
    with pytest.raises(ValueError, match=match):
        Assembly(**(dict(rule=RULE) | change))


def test_a_judge_of_another_run_or_one_that_is_not_done(run, tmp_path):
    write, render, _ = run
    other = judged_run(tmp_path / 'other', 10)
    with pytest.raises(LaunchError, match='judged pairs of another run'):
        assemble(Assembly(RULE), write, render, other[2], tmp_path / 'out')
    half = StageFolder(tmp_path / 'half')
    run_stage(Judge(render), half)
    (half.folder / 'summary.json').unlink()
    with pytest.raises(LaunchError, match='is not done'):
        assemble(Assembly(RULE), write, render, dict(vlm=half), tmp_path)


def test_two_judges_and_no_faults(tmp_path):
    write, render, judges = judged_run(tmp_path, 20, ('a', 'b'), faulty=False)
    table = read_table(render, judges)
    assert list(table.columns) == [
        'a.quality',
        'a.same',
        'b.quality',
        'b.same',
    ]
    assert faults_found(table) == {}
    assert isinstance(Render(write).settings(), dict)


def test_a_full_disk_leaves_what_was_there(run, tmp_path, monkeypatch):
    out = tmp_path / 'out'
    assemble(Assembly(RULE), *run, out)
    before = (out / 'SynCPR.json').read_bytes()
    from mmtpr.data_engine.assemble import triplet_files

    def full(self, triplet):
        raise OSError(errno.ENOSPC, 'no space')

    monkeypatch.setattr(triplet_files.TripletFile, 'add', full)
    with pytest.raises(LaunchError, match='The disk is full'):
        assemble(Assembly(RULE), *run, out)
    assert (out / 'SynCPR.json').read_bytes() == before
