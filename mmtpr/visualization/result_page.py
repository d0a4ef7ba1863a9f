"""A page of results that needs nothing else: images and style are in it."""

import base64
from collections.abc import Sequence
from html import escape
from io import BytesIO
from typing import Any

from mmtpr.structures.negatives import words_of

from .small_images import read_small

#: Pixels that an image may take, drawn at half the size on fine screens.
_SIZE = (192, 384)
_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 0 auto; max-width: 75rem; padding: 1rem; }
h2 { overflow-wrap: anywhere; }
ol.results { display: grid; gap: 1rem; list-style: none; padding: 0;
  grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); }
ol.results > li, .reference { border: 1px solid #767676; padding: .5rem;
  border-radius: .25rem; }
.reference { max-width: 11rem; margin: 0; }
img { display: block; width: auto; height: auto; max-width: 100%;
  max-height: 16rem; }
h3 { font-size: 1rem; margin: .5rem 0 0; }
.name, dd, figcaption { overflow-wrap: anywhere; font-size: .875rem; }
.name { margin: 0; }
dl { display: grid; grid-template-columns: auto 1fr; column-gap: .5rem;
  margin: 0; }
dt { font-weight: 600; font-size: .875rem; }
dd { margin: 0; }
a:focus-visible, [tabindex]:focus-visible { outline: 3px solid #0b6bcb;
  outline-offset: 2px; }
.skip { position: absolute; left: -99rem; }
.skip:focus { position: static; }
"""


def render_page(queries: Sequence[dict], title: str, about: str = '') -> str:
    """Render results as one page without any link out of it.

    Args:
        queries (Sequence[dict]): ``caption``, ``ranking`` (a list of dicts
            with ``img_path``, ``score``, ``name``, and ``columns``, values by
            name), and optionally ``negative_text``, ``img_path``, a
            reference image, and ``note``.
        title (str): Title of the page.
        about (str): A sentence below it. Defaults to ''.

    Returns:
        str: HTML. Images that cannot be read are told in their place.
    """
    sections = [_section(n, query) for n, query in enumerate(queries, 1)]
    links = ''.join(
        f'<li><a href="#query-{n}">{escape(words_of(query))}</a></li>'
        for n, query in enumerate(queries, 1)
    )
    contents = (
        f'<nav aria-label="Queries"><h2>Queries</h2><ol>{links}</ol></nav>'
        if len(queries) > 1
        else ''
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        # Nothing is loaded from anywhere, whatever stands in the page.
        '<meta http-equiv="Content-Security-Policy" content="default-src '
        "'none'; img-src data:; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width">\n'
        f'<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n'
        '<body>\n<a class="skip" href="#results">Skip to the results</a>\n'
        f'<header><h1>{escape(title)}</h1><p>{_name(about)}</p></header>\n'
        f'{contents}\n<main id="results" tabindex="-1">\n'
        f'{"".join(sections)}</main>\n</body>\n</html>\n'
    )


def _section(number: int, query: dict) -> str:
    items = ''.join(
        _item(rank, item) for rank, item in enumerate(query['ranking'], 1)
    )
    found = f'<ol class="results">{items}</ol>' if items else ''
    note = query.get('note', '')
    reference = ''
    if query.get('img_path'):
        alt = f'Reference photo of query {number}'
        reference = (
            f'<figure class="reference">{_image(query["img_path"], alt)}'
            f'<figcaption>Reference: {_name(query["img_path"])}</figcaption>'
            '</figure>'
        )
    return (
        f'<section aria-labelledby="query-{number}">\n'
        f'<h2 id="query-{number}" tabindex="-1">{escape(words_of(query))}'
        f'</h2>\n{reference}<p>{escape(note)}</p>\n{found}\n</section>\n'
    )


def _item(rank: int, item: dict) -> str:
    alt = f'Result {rank}: {item["name"]}'
    pairs = ''.join(
        f'<dt>{escape(name)}</dt><dd>{"none" if x is None else _name(x)}</dd>'
        for name, x in item.get('columns', {}).items()
    )
    columns = f'<dl>{pairs}</dl>' if pairs else ''
    return (
        f'<li>{_image(item["img_path"], alt)}'
        f'<h3>{rank}. Score {item["score"]:.4f}</h3>'
        f'<p class="name">{_name(item["name"])}</p>{columns}</li>\n'
    )


def _image(path: str, alt: str) -> str:
    image = read_small(path, _SIZE)
    if image is None:
        return f'<p>{_name(alt)} cannot be read.</p>'
    content = BytesIO()
    image.save(content, format='JPEG', quality=85)
    text = base64.b64encode(content.getvalue()).decode()
    return (
        f'<img src="data:image/jpeg;base64,{text}" alt="{_name(alt)}" '
        f'width="{image.width}" height="{image.height}">'
    )


def _name(value: Any) -> str:
    """A value as text of a page, also where it has half a character."""
    text = str(value).encode('utf-8', 'backslashreplace').decode()
    return escape(text)
