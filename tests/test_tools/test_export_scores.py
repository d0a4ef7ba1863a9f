"""Exports of scores, and the report of suspects."""

import csv
import json

import numpy as np
import pytest
from filtering_case import place, tool, whole  # noqa: F401
from mmengine.config import Config

from mmtpr.filtering import load_scores
from mmtpr.filtering.labels import load_labels


def test_uids_of_the_pairs_kept(place, whole, tool, tmp_path, capsys):
    args = [whole, '--config', place / 'config.py']
    out = ['--out', tmp_path / 'a.npy']
    tool('export_scores', [*args, *out, '--max-rank', 10])
    uids = np.load(tmp_path / 'a.npy')
    kept = int((load_scores(whole).rank <= 10).sum())
    assert len(uids) == kept
    assert (np.sort(uids) == uids).all()
    text = capsys.readouterr().out
    assert f'the uids of {kept} of 120 pairs' in text
    assert 'uids are those of path and caption' in text
    with pytest.raises(SystemExit, match=r'a\.npy" exists already'):
        tool('export_scores', [*args, *out, '--max-rank', 10])
    with pytest.raises(SystemExit, match='at least one of max_rank'):
        tool('export_scores', [*args, '--out', tmp_path / 'b.npy'])
    with pytest.raises(SystemExit, match=r'end in \.npy or \.parquet'):
        tool('export_scores', [*args, '--out', tmp_path / 'b.txt'])
    named = ['--score-name', 'a', '--max-rank', 10, '--overwrite']
    with pytest.raises(SystemExit, match=r'score-name goes with \.parquet'):
        tool('export_scores', [*args, *out, *named])


def test_parquet_of_all_pairs(place, whole, tool, tmp_path):
    parquet = pytest.importorskip(
        'pyarrow.parquet', reason='needs the extra [filtering]'
    )
    args = [whole, '--config', place / 'config.py']
    args += ['--out', tmp_path / 'a.parquet']
    with pytest.raises(SystemExit, match=r'a rule goes with \.npy'):
        tool('export_scores', [*args, '--keep-ratio', 0.5])
    tool('export_scores', args)
    table = parquet.read_table(tmp_path / 'a.parquet').to_pydict()
    assert table['relevance_rank'] == load_scores(whole).rank.tolist()


def rows(path):
    with open(path, encoding='utf-8', newline='') as file:
        return list(csv.DictReader(file))


def test_the_report_of_suspects(place, whole, tool, tmp_path, capsys):
    out = tmp_path / 'out'
    config = Config.fromfile(place / 'config.py')
    # The test set is the training set: whatever is seen there leaks.
    config.test_dataloader.dataset.split = 'train'
    (file,) = (place / 'data').glob('*.json')
    records = json.loads(file.read_text())
    for record in records:
        record['id'] += 70
    (tmp_path / 'others.json').write_text(json.dumps(records))
    for dataset in (
        config.train_dataloader.dataset.dataset,
        config.test_dataloader.dataset,
    ):
        dataset.ann_file = str(tmp_path / 'others.json')
    config.dump(tmp_path / 'config.py')
    args = [whole, tmp_path / 'config.py', place / 'model.pth', '--out', out]
    args += ['--num-workers', 0, '--num-pairs', 12, '--num-shown', 3]
    args += ['--threshold', 0.9999, '--num-couples', 500]
    tool('report_suspects', args)
    scores = load_scores(whole)
    found = rows(out / 'suspects.csv')
    order = np.lexsort((-scores.score, scores.rank))
    assert [int(row['pair']) for row in found] == order[::-1][:12].tolist()
    assert all(row['wrong'] == '' for row in found)
    couples = rows(out / 'near_duplicates.csv')
    same = [r for r in couples if r['path_a'] == r['path_b']]
    # Each of 60 images is in both.
    assert len(same) == 60
    assert {(r['split_a'], r['split_b']) for r in same} == {('train', 'test')}
    # Numbers of the file: that of the training starts from 0.
    assert all(row['pid_a'] == row['pid_b'] for row in same)
    assert {row['pid_a'] for row in same} == {str(70 + i) for i in range(20)}
    page = (out / 'page.html').read_text(encoding='utf-8')
    assert page.count('data:image/jpeg;base64') == 3 + 6
    assert 'Near-duplicates in train and test' in page
    text = capsys.readouterr().out
    assert '12 suspects of 120 pairs, ' in text
    with pytest.raises(SystemExit, match=r'suspects\.csv" exists already'):
        tool('report_suspects', args)


def test_suspects_become_labels(place, whole, tool, tmp_path, capsys):
    args = [whole, place / 'config.py', '--out', tmp_path]
    with pytest.raises(SystemExit, match='--threshold must be above 0'):
        tool('report_suspects', [*args, '--threshold', 0])
    tool('report_suspects', [*args, '--num-pairs', 5, '--num-shown', 0])
    assert 'no CHECKPOINT: not looked for' in capsys.readouterr().out
    assert rows(tmp_path / 'near_duplicates.csv') == []
    path = tmp_path / 'suspects.csv'
    lines = path.read_text().splitlines()
    pair = int(lines[1].split(',')[0])
    lines[1] = lines[1].replace(f'{pair},,', f'{pair},1,')
    path.write_text('\n'.join(lines))
    assert load_labels(path, 120) == {pair: True}


def test_identities_in_two_splits(place, whole, tool, tmp_path):
    config = Config.fromfile(place / 'config.py')
    inner = config.train_dataloader.dataset.dataset
    tool('report_suspects', [whole, place / 'config.py', '--out', tmp_path])
    assert rows(tmp_path / 'shared_pids.csv') == []
    (file,) = (place / 'data').glob('*.json')
    records = json.loads(file.read_text())
    train = next(r for r in records if r['split'] == 'train')
    test = next(r for r in records if r['split'] == 'test')
    shared = test['id']
    for record in records:
        if record['id'] == train['id']:
            record['id'] = shared
    (tmp_path / 'leak.json').write_text(json.dumps(records))
    for dataset in (inner, config.test_dataloader.dataset):
        dataset.ann_file = str(tmp_path / 'leak.json')
    config.dump(tmp_path / 'config.py')
    args = [whole, tmp_path / 'config.py', '--out', tmp_path / 'out']
    tool('report_suspects', args)
    (row,) = rows(tmp_path / 'out/shared_pids.csv')
    assert row['splits'] == 'train test'
    assert row['pid'] == str(shared)
