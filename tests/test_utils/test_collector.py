import gc

import pytest

from mmtpr.utils.collector import resting_collector


@pytest.mark.parametrize('enabled', [True, False])
def test_it_rests_inside_alone(enabled):
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        inside = []
        with pytest.raises(KeyError), resting_collector():
            {}[inside.append(gc.isenabled())]
        assert inside == [False]
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()
