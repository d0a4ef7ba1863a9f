"""Options that tools share, and files that cannot be written."""

import argparse
import os

import pytest

from mmtpr.engine import launch
from mmtpr.evaluation import PersonRetrievalMetric
from mmtpr.utils.atomic import check_writable
from mmtpr.utils.errors import LaunchError
from mmtpr.utils.options import at_least, check_output


def test_whole_numbers_from_some_on():
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument('--count', type=at_least(1))
    assert parser.parse_args(['--count', '1']).count == 1
    for wrong in ('0', '-3', '1.5', 'x'):
        with pytest.raises(argparse.ArgumentError):
            parser.parse_args(['--count', wrong])


@pytest.fixture
def closed(tmp_path, monkeypatch):
    """A folder that refuses files, whoever the user is."""
    folder = tmp_path / 'closed'
    folder.mkdir()

    def refuse(dir=None, **_):
        if str(dir).startswith(str(folder)):
            raise PermissionError(13, 'Permission denied')
        return open(os.devnull, 'wb')

    monkeypatch.setattr('mmtpr.utils.atomic.tempfile.TemporaryFile', refuse)
    return folder


@pytest.mark.parametrize('name', ['a.json', 'new/deep/a.json'])
def test_what_cannot_be_written_is_told_first(closed, tmp_path, name):
    match = 'cannot be written: .*closed: Permission denied'
    with pytest.raises(LaunchError, match=match):
        check_writable(closed / name)
    with pytest.raises(LaunchError, match=match):
        check_output(closed / name, overwrite=True)
    with pytest.raises(LaunchError, match=match):
        PersonRetrievalMetric(save_ranking=str(closed / name))
    check_writable(tmp_path / name)
    assert not (tmp_path / 'new').exists()


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / 'a').write_text('')
    with pytest.raises(LaunchError, match=r'a/b\.json" cannot be written'):
        check_writable(tmp_path / 'a/b.json')


def test_work_dirs(closed, tmp_path):
    (tmp_path / 'file').write_text('')
    for place, match in (
        (str(tmp_path / 'file'), 'is a file'),
        (str(closed / 'work'), 'cannot be written'),
        (5, 'work_dir=5: it must be a path'),
    ):
        cfg = argparse.Namespace(work_dir=None)
        with pytest.raises(LaunchError, match=match):
            launch.set_work_dir(cfg, place, 'a.py')
