import logging
import threading

from mmengine.logging import MMLogger

from mmtpr.utils.warn import heard_warnings, warn


def test_a_warning_reaches_the_log_of_the_run(tmp_path):
    file = tmp_path / 'run.log'
    MMLogger.get_instance('warned', log_file=str(file), log_level='WARNING')
    warn('3 of 5 images are left out.')
    assert '3 of 5 images are left out.' in file.read_text()
    assert logging.getLevelName(logging.WARNING) in file.read_text()


def test_warnings_are_heard_where_they_are_asked_for():
    warn('before')
    with heard_warnings() as lines:
        other = threading.Thread(target=warn, args=['of another thread'])
        other.start()
        other.join()
        with heard_warnings() as inner:
            warn('inside')
        warn('here')
    warn('after')
    assert (lines, inner) == (['here'], ['inside'])
