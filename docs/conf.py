"""Sphinx settings: ``make docs`` builds without warnings."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from mmcv.transforms.utils import cache_randomness  # noqa: E402

import mmtpr  # noqa: E402

project = 'mmtpr'
author = 'The mmtpr authors'
copyright = author
version = release = mmtpr.__version__

extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'sphinx.ext.mathjax',
    'sphinx.ext.viewcode',
]
source_suffix = {'.md': 'markdown', '.rst': 'restructuredtext'}
exclude_patterns = ['_build']
templates_path = []
html_theme = 'furo'
html_static_path = ['_static']
html_title = f'mmtpr {version}'

myst_enable_extensions = ['colon_fence', 'dollarmath']
myst_heading_anchors = 3
# Pages link to files of the repository that are not pages.
suppress_warnings = ['myst.xref_missing', 'ref.python']

autodoc_member_order = 'bysource'
autodoc_typehints = 'description'
autodoc_typehints_description_target = 'documented'
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
nitpicky = False


def look_up(descriptor, instance, owner=None):
    """What a descriptor returns, the descriptor itself on a class."""
    return descriptor if instance is None else get(descriptor, instance, owner)


# mmcv's fails when it is looked up on a class, as autodoc does.
get = cache_randomness.__get__
cache_randomness.__get__ = look_up
