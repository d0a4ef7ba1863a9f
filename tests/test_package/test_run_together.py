"""How tests of several processes wait for them (tests/conftest.py)."""

import pytest


def test_all_that_went_well(run_together, tmp_path):
    run_together(
        *(['-c', f'open(r"{tmp_path}/{number}", "w")'] for number in range(3))
    )
    assert len(list(tmp_path.iterdir())) == 3


def test_nobody_waits_for_one_that_failed(run_together):
    """As processes do that want to meet one that is gone."""
    waits = 'import threading; threading.Event().wait()'
    fails = 'print("the reason"); raise SystemExit(3)'
    with pytest.raises(pytest.fail.Exception) as error:
        run_together(['-c', waits], ['-c', fails], ['-c', waits])
    assert str(error.value) == 'process 1 ended with 3:\nthe reason\n'


def test_nobody_waits_for_a_reader_of_its_output(run_together, tmp_path):
    """The first ends after the second, which writes more than a pipe holds."""
    (tmp_path / 'wait.py').write_text(
        'import os, time\n'
        f'while not os.path.exists(r"{tmp_path}/written"): time.sleep(0.01)\n'
    )
    (tmp_path / 'write.py').write_text(
        f'print("x" * 1_000_000)\nopen(r"{tmp_path}/written", "w")\n'
    )
    run_together([tmp_path / 'wait.py'], [tmp_path / 'write.py'])
