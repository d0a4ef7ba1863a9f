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


@pytest.mark.parametrize(
    ('content', 'match'),
    [
        ('x = 1 / 0', r'Line 2 of .*own\.py" cannot be executed: ZeroDiv'),
        ('x = _base_.none', r'Line 2 of .*own\.py" reads "none" of its bases'),
        ('x = {{_base_.none}}', 'or a base of it reads "none" of its bases'),
        ('import no_such', "Line 2 of .*: No module named 'no_such'"),
        (
            'custom_imports = dict(imports=["no_such"])',
            "custom_imports of .*: No module named 'no_such'. Put the folder",
        ),
    ],
)
def test_what_a_config_does(tmp_path, content, match):
    (tmp_path / 'base.py').write_text('y = 1\n')
    path = tmp_path / 'own.py'
    path.write_text(f"_base_ = ['base.py']\n{content}\n")
    with pytest.raises(LaunchError, match=match):
        read_config(str(path))
