"""API pages and the citation."""

import re
from pathlib import Path

import yaml

import mmtpr

ROOT = Path(__file__).resolve().parents[2]


def test_api_pages_cover_every_subpackage():
    """Each package below mmtpr is documented, itself or by a parent page."""
    text = '\n'.join(p.read_text() for p in (ROOT / 'docs/api').rglob('*.rst'))
    documented = re.findall(r'automodule:: (\S+)', text)
    for init in (ROOT / 'mmtpr').rglob('*/__init__.py'):
        if '.mim' in init.parts:
            continue
        name = '.'.join(init.parent.relative_to(ROOT).parts)
        assert any(
            d == name or d.startswith(f'{name}.') or name.startswith(f'{d}.')
            for d in documented
        ), name


def test_citation_has_the_version():
    with open(ROOT / 'CITATION.cff', encoding='utf-8') as file:
        assert yaml.safe_load(file)['version'] == mmtpr.__version__
