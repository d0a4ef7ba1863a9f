import os

import pytest
from mmengine.fileio import get_file_backend

from mmtpr.utils.atomic_backend import ATOMIC_BACKEND, remove_leftovers


def test_put_and_leftovers(tmp_path, monkeypatch):
    backend = get_file_backend(backend_args=dict(backend=ATOMIC_BACKEND))
    path = tmp_path / 'new/a.pth'
    backend.put(b'one', path)
    backend.put_text('zwölf', tmp_path / 'b.txt')
    assert path.read_bytes() == b'one'
    assert (tmp_path / 'b.txt').read_text('utf-8') == 'zwölf'

    def killed(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, 'replace', killed)
    monkeypatch.setattr(os, 'unlink', lambda path: None)
    with pytest.raises(KeyboardInterrupt):
        backend.put(b'two', path)
    monkeypatch.undo()
    assert path.read_bytes() == b'one'
    assert len(list(path.parent.iterdir())) == 2
    assert remove_leftovers(path.parent) == 1
    assert os.listdir(path.parent) == ['a.pth']
