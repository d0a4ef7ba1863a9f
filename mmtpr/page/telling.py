"""Sentences and small images that the page shows."""

import traceback
import uuid
from collections.abc import Sequence
from html import escape

from PIL import Image, ImageDraw

from mmtpr.utils.errors import told_message
from mmtpr.utils.warn import warn
from mmtpr.visualization.small_images import read_small

from .gallery_images import THUMBNAIL
from .page_search import FoundPage
from .photos import Reference


def message_of(error: Exception) -> str:
    """Say to users of a page what went wrong.

    Args:
        error (Exception): What was raised.

    Returns:
        str: The message where it was written for users. Of a bug they learn
        only that there was one; the log has it all.
    """
    told = told_message(error)
    if told is not None:
        return told
    warn(''.join(traceback.format_exception(error)).rstrip())
    return 'Something went wrong; the log of the server says what.'


def alert(why: str) -> str:
    """Write what went wrong as HTML.

    Args:
        why (str): A sentence; it is escaped.

    Returns:
        str: HTML that is read out at once.
    """
    return f'<p role="alert">{_text(why)}</p>'


def status(told: str, notes: Sequence[str] = ()) -> str:
    """Write what was done as HTML.

    Args:
        told (str): A sentence; it is escaped, as are the notes.
        notes (Sequence[str]): What else one should know. Defaults to ().

    Returns:
        str: HTML that is read out in its turn.
    """
    more = ''.join(f'<p class="note">{_text(note)}</p>' for note in notes)
    return f'<div role="status"><p>{_text(told)}</p>{more}</div>'


def summary(found: FoundPage) -> str:
    """Say which results a page holds.

    Args:
        found (FoundPage): The page.

    Returns:
        str: A sentence.
    """
    if not found.rows:
        return 'No more images.' if found.page > 1 else 'Nothing found.'
    first, last = found.rows[0]['rank'], found.rows[-1]['rank']
    more = '' if found.more else ' There are no more.'
    return f'Images {first} to {last}, the best first.{more}'


def facts(row: dict | None) -> str:
    """Write what is known of a result as HTML.

    Args:
        row (dict | None): The result; None if there is none.

    Returns:
        str: A list of id, score and columns.
    """
    if row is None:
        return ''
    values = dict(id=row['id'], score=f'{row["score"]:.4f}') | row['columns']
    pairs = ''.join(
        f'<dt>{_text(name)}</dt><dd>{"none" if x is None else _text(x)}</dd>'
        for name, x in values.items()
    )
    return f'<dl aria-label="The chosen image">{pairs}</dl>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table as HTML.

    Args:
        head (Sequence[str]): Names of the N columns.
        rows (Sequence[Sequence[str]]): N texts each; they are escaped.

    Returns:
        str: The table.
    """
    names = ''.join(f'<th scope="col">{_text(name)}</th>' for name in head)
    lines = ''.join(
        f'<tr>{"".join(f"<td>{_text(cell)}</td>" for cell in row)}</tr>'
        for row in rows
    )
    return (
        f'<table><thead><tr>{names}</tr></thead><tbody>{lines}</tbody></table>'
    )


def no_image() -> Image.Image:
    """Draw what stands in for an image that cannot be shown.

    Returns:
        Image: RGB.
    """
    width, height = THUMBNAIL
    image = Image.new('RGB', THUMBNAIL, '#808080')
    draw = ImageDraw.Draw(image)
    draw.line((0, 0, width, height), '#404040', 3)
    draw.line((0, height, width, 0), '#404040', 3)
    return image


def alone(image: Image.Image) -> Image.Image:
    """Make an image a file of its own for Gradio.

    Gradio names files by their content and writes them where they lie: who
    asks for the image that another is just loading would cut it off.

    Args:
        image (Image): RGB, that is encoded as JPEG.

    Returns:
        Image: The same, with a comment that no other has.
    """
    image.info['comment'] = uuid.uuid4().hex.encode()
    return image


def read_reference(reference: Reference) -> Image.Image | None:
    """Read the photo of a query, small.

    Args:
        reference (Reference): The photo.

    Returns:
        Image | None: RGB; None with a line in the log if it cannot be read.
    """
    return read_small(reference.path, THUMBNAIL)


def _text(value: object) -> str:
    """A value as text of a page, also where it has half a character.

    Gradio fills ``${...}`` and ``{{...}}`` in; nobody else is to.
    """
    text = escape(str(value).encode('utf-8', 'backslashreplace').decode())
    for sign in '${}':
        text = text.replace(sign, f'&#{ord(sign)};')
    return text
