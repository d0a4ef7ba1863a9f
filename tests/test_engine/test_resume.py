import pytest
import torch

from mmtpr.engine.resume import find_resume_checkpoint

pytestmark = pytest.mark.smoke


def save(path):
    torch.save(dict(x=1), path)
    return str(path)


def test_named_file(tmp_path):
    assert find_resume_checkpoint(tmp_path) is None
    first = save(tmp_path / 'epoch_1.pth')
    save(tmp_path / 'epoch_2.pth')
    (tmp_path / 'last_checkpoint').write_text(first + '\n')
    assert find_resume_checkpoint(tmp_path) == first
    moved = tmp_path.rename(tmp_path.with_name('moved'))
    assert find_resume_checkpoint(moved) == str(moved / 'epoch_1.pth')
    (moved / 'last_checkpoint').write_text('s3://bucket/epoch_9.pth')
    assert find_resume_checkpoint(moved) == 's3://bucket/epoch_9.pth'


def test_falls_back_to_the_last_complete_file(tmp_path):
    for number in (9, 10, 11):
        save(tmp_path / f'epoch_{number}.pth')
    save(tmp_path / 'best_mAP_epoch_12.pth')
    cut = tmp_path / 'epoch_11.pth'
    cut.write_bytes(cut.read_bytes()[:-30])
    (tmp_path / 'last_checkpoint').write_text('')  # killed while writing it
    assert find_resume_checkpoint(tmp_path) == str(tmp_path / 'epoch_10.pth')
    (tmp_path / 'last_checkpoint').write_text(str(cut))
    assert find_resume_checkpoint(tmp_path) == str(tmp_path / 'epoch_10.pth')
