import logging

from mmengine.logging import MMLogger

from mmtpr.utils.warn import warn


def test_a_warning_reaches_the_log_of_the_run(tmp_path):
    file = tmp_path / 'run.log'
    MMLogger.get_instance('warned', log_file=str(file), log_level='WARNING')
    warn('3 of 5 images are left out.')
    assert '3 of 5 images are left out.' in file.read_text()
    assert logging.getLevelName(logging.WARNING) in file.read_text()
