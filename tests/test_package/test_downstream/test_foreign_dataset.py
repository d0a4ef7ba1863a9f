"""mmtpr's relevance filter around datasets that are not mmtpr's."""

import json

import mmcv
import numpy as np
import pytest

from mmtpr.filtering import RelevanceScores, pair_fingerprint, save_scores

pytest.importorskip('mmpretrain')
pytestmark = pytest.mark.smoke

PAIRS = 10
# max_rank=5 keeps the pairs 0, 2, 4, 5, 8.
RANKS = np.array([1, 9, 5, 6, 2, 3, 100, 7, 4, 50])
KEPT = ['0.png', '2.png', '4.png', '5.png', '8.png']
CASES = {
    (name, imports)
    for name in ('mmengine', 'mmpretrain')
    for imports in ('nothing', 'custom_imports')
}


def write_data(folder) -> None:
    random = np.random.default_rng(0)
    captions = [f'a person with number {i}' for i in range(PAIRS)]
    names = [f'{i}.png' for i in range(PAIRS)]
    for i, name in enumerate(names):
        image = random.integers(0, 100, (32, 32, 3)) + 100 * (i % 2)
        mmcv.imwrite(image.astype(np.uint8), str(folder / 'images' / name))
    pairs = list(zip(names, captions, strict=True))
    own = [
        dict(img_path=name, caption=caption, gt_label=i % 2)
        for i, (name, caption) in enumerate(pairs)
    ]
    (folder / 'pairs.json').write_text(
        json.dumps(dict(metainfo={}, data_list=own))
    )
    lines = [f'{name} {i % 2}' for i, name in enumerate(names)]
    (folder / 'classes.txt').write_text('\n'.join(lines))
    (folder / 'captions.json').write_text(json.dumps(dict(pairs)))
    paths = [f'anywhere/{name}' for name in names]
    fingerprint = pair_fingerprint(paths, captions)
    data = dict(fingerprint=fingerprint, name='made up', length=PAIRS)
    meta = dict(version=1, data=data, scorer={}, bank=dict(size=200))
    scores = RelevanceScores(RANKS, 1 / RANKS, meta)
    save_scores(folder / 'scores.npz', scores)


@pytest.fixture(scope='module')
def reports(run_project, tmp_path_factory):
    cases = {}
    for name, imports in CASES:
        folder = tmp_path_factory.mktemp('filter')
        write_data(folder)
        cases[name, imports] = f'{folder}|{name}|{imports}'
    results = run_project('filter_project.py', list(cases.values()))
    return {key: results[case] for key, case in cases.items()}


@pytest.fixture(params=sorted(CASES), ids='-'.join)
def case(request):
    return request.param


def test_imports_were_what_the_case_says(reports, case):
    early = reports[case]['mmtpr_before_runner']
    assert early == (case[1] == 'custom_imports')


def test_the_parts_are_whose_the_config_says(reports, case):
    wrapper = 'mmtpr.datasets.relevance_filter.RelevanceFilteredDataset'
    assert reports[case]['wrapper'] == wrapper
    base = dict(
        mmengine='mmengine.dataset.base_dataset.BaseDataset',
        mmpretrain='mmpretrain.datasets.custom.CustomDataset',
    )
    inner = reports[case]['inner']
    assert base[case[0]] in inner
    assert not [name for name in inner if name.startswith('mmtpr')]


def test_only_relevant_pairs_are_seen(reports, case):
    report = reports[case]
    assert report['length'] == [len(KEPT), PAIRS]
    assert sorted(report['seen']) == sorted(KEPT * 2)  # epochs


def test_metainfo_passes_through(reports, case):
    assert reports[case]['metainfo'] == ['dark', 'light']
