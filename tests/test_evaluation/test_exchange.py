"""Parts of one process; the tests of the metrics run several."""

import pytest
import torch

from mmtpr.evaluation import exchange
from mmtpr.evaluation.exchange import collect_parts


def test_parts_come_back_and_files_go(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    part = [dict(caption='red', features=torch.randn(3))]
    for device, folder in (('cpu', None), ('cpu', 'own/deep'), ('gpu', None)):
        ((found,),) = collect_parts(part, device, folder)
        assert found['caption'] == 'red'
        assert torch.equal(found['features'], part[0]['features'])
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob('*')}
    assert left == {'.dist_test', 'own'}


def test_bytes_are_written_as_bytes(tmp_path):
    """The protocol of mmengine makes 6 of 4 bytes."""
    folder = tmp_path / 'parts'
    part = torch.randn(10_000)
    parts = collect_parts(part, folder=str(folder))
    (file,) = folder.iterdir()
    assert 40_000 < file.stat().st_size < 44_000
    assert torch.equal(next(parts), part)


def test_a_folder_that_is_not_shared_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(exchange, 'get_world_size', lambda: 2)
    folder = tmp_path / 'parts'
    parts = collect_parts(1, folder=str(folder))
    with pytest.raises(FileNotFoundError, match=r'process 1 .*collect_dir'):
        list(parts)
    assert not folder.exists()
