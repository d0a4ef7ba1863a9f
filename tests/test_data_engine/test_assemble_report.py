"""Numbers and histograms of fields, whatever the scores are."""

import numpy as np
import pytest
from PIL import Image

from mmtpr.data_engine.assemble.report import describe_fields, plot_fields
from mmtpr.data_engine.assemble.score_table import ScoreTable

NAN = float('nan')
#: Scores, and the numbers of bins and of scores in them.
CASES = dict(
    spread=(np.linspace(1, 5, 41), 40, 41),
    equal=([4, 4, 4], 40, 3),
    # What a judge that is sure of all pairs gives.
    near=([5, 4.999999, 4.999999, 5, NAN], 40, 4),
    next=([1, np.nextafter(np.float32(1), np.float32(0))], 40, 2),
    one=([3, NAN], 40, 1),
    wide=([-3e38, 3e38], 40, 2),
    none=([NAN, NAN], 0, 0),
)


@pytest.mark.parametrize('name', CASES)
def test_all_scores_are_in_the_histogram(tmp_path, name):
    values, bins, number = CASES[name]
    values = np.array(values, np.float32)
    table = ScoreTable(
        np.zeros((len(values), 2), np.int32), {'vlm.quality': values}
    )
    found = describe_fields(table)['vlm.quality']
    assert found['number'] == number
    histogram = found.get('histogram', dict(counts=[], edges=[0]))
    assert len(histogram['counts']) == bins
    assert sum(histogram['counts']) == number
    edges = np.array(histogram['edges'])
    assert (np.diff(edges) > 0).all()
    for keep in (values > 4.5, np.zeros(len(values), bool)):
        plot_fields(tmp_path / 'fields.png', table, keep)
        with Image.open(tmp_path / 'fields.png') as image:
            assert min(image.size) > 200


def test_values_that_not_even_float64_can_part():
    """Scores of float32 are none of these; a table of others may be."""
    values = np.array([1, np.nextafter(1, 2)])
    table = ScoreTable(np.zeros((2, 2), np.int32), {'a.b': values})
    histogram = describe_fields(table)['a.b']['histogram']
    assert histogram['counts'] == [2]
