"""Configs that cannot be read."""

import pytest

from mmtpr.utils.config_file import read_config
from mmtpr.utils.errors import LaunchError


@pytest.mark.parametrize(
    ('content', 'match'),
    [
        (b'x = (', r'own\.py" is no valid Python: .*line 1'),
        (b'\xff\xfe\x00', 'is no valid Python|is no UTF-8 text'),
        (b"_base_ = ['mmtpr::wora_cuhk.py']", 'without its folder; write'),
    ],
)
def test_content(tmp_path, content, match):
    path = tmp_path / 'own.py'
    path.write_bytes(content)
    with pytest.raises(LaunchError, match=match):
        read_config(str(path))


def test_near_names(repo_root, tmp_path):
    match = r'does not exist\. In ".*configs" there is: .*wora_cuhk\.py'
    with pytest.raises(LaunchError, match=match):
        read_config('configs/wora_cukh.py', root=repo_root)
    with pytest.raises(LaunchError, match='does not exist'):
        read_config(str(tmp_path))
