import pytest
import torch
from mmengine.config import Config
from train import set_resume

from mmtpr.engine.resume import find_resume_checkpoint
from mmtpr.utils.errors import LaunchError

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


@pytest.fixture
def lines(monkeypatch):
    told = []
    monkeypatch.setattr(
        'mmtpr.engine.resume.warn', lambda line, **_: told.append(line)
    )
    return told


def test_a_start_from_the_beginning_is_told(tmp_path, lines):
    assert find_resume_checkpoint(tmp_path) is None
    (line,) = lines
    assert f'no checkpoint in "{tmp_path}"' in line
    assert 'starts from the beginning' in line


def test_the_newest_whole_one_is_named(tmp_path, lines):
    good = save(tmp_path / 'epoch_1.pth')
    (tmp_path / 'epoch_2.pth').write_bytes(b'cut off')
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_2.pth'))
    assert find_resume_checkpoint(tmp_path) == good
    (line,) = lines
    assert 'epoch_2.pth", which is gone or damaged' in line
    assert f'"{good}" is the newest whole' in line
    lines.clear()
    (tmp_path / 'last_checkpoint').write_text(good)
    assert find_resume_checkpoint(tmp_path) == good
    assert lines == []


def test_where_none_is_whole_it_stops(tmp_path):
    (tmp_path / 'epoch_2.pth').write_bytes(b'cut off')
    with pytest.raises(LaunchError, match=r'is whole \(epoch_2\.pth\)'):
        find_resume_checkpoint(tmp_path)
    (tmp_path / 'epoch_2.pth').unlink()
    (tmp_path / 'last_checkpoint').write_text('elsewhere/epoch_7.pth')
    with pytest.raises(LaunchError, match=r'whole \(elsewhere/epoch_7\.pth'):
        find_resume_checkpoint(tmp_path)


def test_an_old_best_is_not_put_at_risk(tmp_path):
    save(tmp_path / 'best_mAP_epoch_3.pth')
    with pytest.raises(LaunchError, match=r'has best_mAP_epoch_3\.pth, but'):
        find_resume_checkpoint(tmp_path)


@pytest.mark.parametrize('content', [b'\xff\xfe\x00', b'x' * 5000])
def test_a_note_of_the_last_checkpoint_that_is_none(content, tmp_path):
    good = save(tmp_path / 'epoch_1.pth')
    (tmp_path / 'last_checkpoint').write_bytes(content)
    assert find_resume_checkpoint(tmp_path) == good


@pytest.mark.parametrize('given', [None, 'auto'])
def test_a_config_may_ask_for_it(tmp_path, given):
    cfg = Config(dict(work_dir=str(tmp_path), resume=given is None))
    set_resume(cfg, given)
    assert not cfg.resume  # there is nothing, and a WARNING says so
    good = save(tmp_path / 'epoch_1.pth')
    (tmp_path / 'epoch_2.pth').write_bytes(b'cut off')
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_2.pth'))
    cfg = Config(dict(work_dir=str(tmp_path), resume=given is None))
    set_resume(cfg, given)
    assert (cfg.resume, cfg.load_from) == (True, good)
