"""mmtpr's adapter inside an ordinary mmpretrain classifier."""

import pytest

WAYS = ('nothing', 'custom_imports')

pytest.importorskip('mmpretrain')
pytestmark = pytest.mark.smoke


@pytest.fixture(scope='module')
def reports(run_project, tmp_path_factory):
    cases = {
        way: f'{tmp_path_factory.mktemp("classifier")}|{way}' for way in WAYS
    }
    results = run_project('classifier_project.py', list(cases.values()))
    return {way: results[case] for way, case in cases.items()}


@pytest.fixture(params=WAYS)
def report(request, reports):
    return reports[request.param]


def test_imports_were_what_the_case_says(reports):
    assert not reports['nothing']['mmtpr_before_runner']
    assert reports['custom_imports']['mmtpr_before_runner']


def test_both_ways_train_the_same_model(reports):
    one, other = (dict(reports[way]) for way in WAYS)
    for report in (one, other):
        del report['mmtpr_before_runner']
    assert one == other


def test_the_parts_are_whose_the_config_says(report):
    classifier, backbone, module = report['classes']
    assert classifier.startswith('mmpretrain.models.classifiers.')
    assert backbone.startswith('mmtpr.models.adapters.')
    assert module.startswith('mmpretrain.models.backbones.')


def test_only_adapters_and_head_train(report):
    outside = [n for n in report['names'] if not n.startswith('backbone.')]
    adapters = {k for k in report['adapter_keys'] if 'norm_rows' not in k}
    assert outside
    assert adapters
    assert set(report['trainable']) == adapters | set(outside)
    assert set(report['moved']) == adapters | set(outside)
    # 12 blocks, two targets each: A, B, magnitude, alpha, beta.
    assert len(adapters) == 12 * 2 * 5
    assert report['finite']


def test_checkpoint_is_whole(report):
    assert set(report['names']) <= set(report['saved'])


def test_reloaded_model_is_the_trained_one(report):
    assert report['untrained_gap'] > 1e-2
    assert report['reload_gap'] < 1e-6
    assert report['accuracy'] == 100.0


def test_merging_changes_nothing_and_unmerging_restores(report):
    assert report['merge_gap'] < 1e-4
    assert report['unmerged_gap'] < 1e-6
    assert report['restored']
