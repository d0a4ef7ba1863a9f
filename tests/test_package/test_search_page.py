"""The Python of the page about searching runs as it is written."""

import re
import shutil

import pytest
from gallery_model import write_image, write_model, write_store


def test_search_page_runs(tmp_path, monkeypatch, capsys, repo_root):
    """Only what it names is small."""
    for name in ('faiss', 'pyarrow'):
        pytest.importorskip(name, reason='the extra [search] is missing')
    monkeypatch.chdir(tmp_path)
    for number in range(4):
        write_image(tmp_path / f'photos/{number}.png', (60 * number, 0, 0))
    config, checkpoint = write_model(tmp_path / 'model')
    columns = dict(camera=[3, 0, 0, 3])
    write_store('my_gallery', 'photos', (config, checkpoint), columns)
    (tmp_path / 'configs').mkdir()
    shutil.move(config, 'configs/wora_cuhk.py')
    shutil.move(checkpoint, 'wora_cuhk.pth')
    page = repo_root / 'docs/user_guides/search.md'
    text = page.read_text(encoding='utf-8')
    (code,) = re.findall(r'^```python\n(.*?)^```', text, re.M | re.S)
    capsys.readouterr()
    names = {}
    exec(compile(code, str(page), 'exec'), names)
    assert sorted(names['found'].ids) == ['0.png', '3.png']
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if "{'camera': 3}" in line]) == 2
