"""The Python of the page about the page runs as it is written."""

import re

import pytest
from served_page import page_on_free_port, page_search, write_gallery


def test_page_of_the_page_runs(tmp_path, capsys, repo_root, monkeypatch):
    """Only what it names is small, and the port another."""
    for name in ('faiss', 'pyarrow', 'gradio', 'gradio_client'):
        pytest.importorskip(name, reason='an extra is missing')
    monkeypatch.chdir(tmp_path)
    retriever = write_gallery(tmp_path)
    page = repo_root / 'docs/user_guides/page.md'
    text = page.read_text(encoding='utf-8')
    (code,) = re.findall(r'^```python\n(.*?)^```', text, re.M | re.S)
    code = code.replace('camera == 3', 'camera == 2')
    names = {}
    with page_on_free_port(page_search(tmp_path, retriever)) as served:
        assert code.count('http://127.0.0.1:7860/') == 1
        code = code.replace('http://127.0.0.1:7860/', served.local_url)
        exec(compile(code, str(page), 'exec'), names)
    assert len(names['found']['rows']) == 8
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if "{'camera': 2}" in line]) == 8
    assert names['small'].endswith('.jpeg')
