"""mmtpr's adapter inside mmdet's stock person re-identification."""

from importlib.util import find_spec

import pytest

pytestmark = [
    pytest.mark.smoke,
    pytest.mark.skipif(
        find_spec('mmdet') is None,
        reason='mmdet is absent; docs/advanced/mixing_into_other_projects.md '
        'says how to try it',
    ),
]


#: Adapted layers: the convolutions of 16 bottlenecks; 12 fused qkv.
LAYERS = dict(resnet=16 * 3, transformer=12)


@pytest.fixture(scope='module', params=LAYERS)
def case(request, run_project, tmp_path_factory):
    folder = tmp_path_factory.mktemp('reid') / request.param
    folder.mkdir()
    report = run_project('reid_project.py', [str(folder)])[str(folder)]
    return request.param, report


@pytest.fixture(scope='module')
def report(case):
    return case[1]


def test_each_part_is_whose_the_config_says(report):
    model, backbone = report['classes']
    assert model.startswith('mmdet.models.reid.')
    assert backbone.startswith('mmtpr.models.adapters.')


def test_only_adapters_and_head_train(case):
    backbone, report = case
    assert report['iterations'] == 16
    assert set(report['moved']) == set(report['trained'])
    inside = [n for n in report['moved'] if n.startswith('backbone.')]
    # A, B, magnitude, alpha, beta.
    assert len(inside) == LAYERS[backbone] * 5
    assert any(n.startswith('head.') for n in report['moved'])


def test_it_validates(report):
    assert 0 < report['metrics']['reid-metric/mAP'] <= 1
    assert 0 < report['metrics']['reid-metric/R1'] <= 1
