"""Damaged files of weights, and files that hold more, are one message."""

import zipfile

import pytest
import torch
from torch import nn

from mmtpr.checkpoints.read import read_weight_file
from mmtpr.utils import load_weights


def whole(tmp_path):
    path = tmp_path / 'whole.pth'
    torch.save(dict(state_dict=dict(weight=torch.ones(1000))), path)
    return path.read_bytes()


#: Content of a file -> what the message says about it.
DAMAGED = {
    'empty': (b'', '0 bytes'),
    'three': (b'abc', '3 bytes'),
    'zeros': (bytes(5000), 'damaged or no checkpoint'),
    'noise': (bytes(range(256)) * 20, 'damaged or no checkpoint'),
    'page': (b'\n<!DOCTYPE html><html>404</html>', 'it is a web page'),
    'pointer': (
        b'version https://git-lfs.github.com/spec/v1\noid sha256:12\n',
        'git lfs pull',
    ),
}


@pytest.mark.parametrize('read', [load_weights, read_weight_file])
@pytest.mark.parametrize('name', [*DAMAGED, 'cut'])
def test_damaged_files_are_one_message(name, read, tmp_path):
    content, said = DAMAGED.get(name, (b'', 'damaged or no checkpoint'))
    path = tmp_path / f'{name}.pth'
    path.write_bytes(whole(tmp_path)[:3000] if name == 'cut' else content)
    with pytest.raises(ValueError, match='damaged or no checkpoint') as error:
        read(path)
    message = str(error.value)
    assert said in message
    assert str(path) in message
    assert '\n' not in message
    assert 'weights_only' not in message


@pytest.mark.parametrize('start', range(0, 256, 3))
def test_no_first_byte_ends_in_a_traceback(start, tmp_path):
    path = tmp_path / 'byte.pth'
    path.write_bytes(bytes([0x80, 2, start, 1, 0, 0, 0, start, 46]))
    with pytest.raises(ValueError, match=r'no checkpoint|cannot be loaded'):
        load_weights(path)


def test_a_broken_archive_is_one_message(tmp_path):
    path = tmp_path / 'clip.pt'
    torch.jit.script(nn.Linear(2, 2)).save(path)
    assert set(read_weight_file(path)) == {'weight', 'bias'}
    broken = tmp_path / 'broken.pt'
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(broken, 'w') as new:
        for name in old.namelist():
            if not name.endswith('data.pkl'):
                new.writestr(name, old.read(name))
    with pytest.raises(ValueError, match='damaged or no checkpoint') as error:
        read_weight_file(broken)
    assert '\n' not in str(error.value)


def test_a_broken_safetensors_file_is_one_message(tmp_path):
    path = tmp_path / 'broken.safetensors'
    path.write_bytes(b'123')
    with pytest.raises(ValueError, match=r'no checkpoint: .*header'):
        read_weight_file(path)


class Odd:
    """What a checkpoint should not hold."""


def test_what_is_not_safe_is_named_without_bad_advice(tmp_path):
    path = tmp_path / 'odd.pth'
    torch.save(dict(weight=torch.ones(1), odd=Odd()), path)
    with pytest.raises(ValueError, match=r'it holds \S+\.Odd, and') as error:
        load_weights(path)
    assert 'Re-running' not in str(error.value)
    assert 'Load it where it was made' in str(error.value)
