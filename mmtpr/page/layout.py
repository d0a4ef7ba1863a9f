"""The page and its API, in Gradio."""

from typing import Any

from mmtpr.utils import require

from .api import add_api
from .events import Events
from .page_search import PageSearch
from .parts import Parts

#: Seconds after which files of a visit are deleted, and between two looks.
KEPT, LOOKS = 3600, 600
_STYLE = """
.gradio-container { max-width: 80rem !important; margin: 0 auto !important; }
:focus-visible { outline: 3px solid #0b6bcb !important;
  outline-offset: 2px; }
#grid .grid-wrap { max-height: none !important; }
#grid .thumbnail-item { aspect-ratio: 3 / 4; padding-bottom: 1.75rem; }
#grid .caption-label { max-width: 100%; left: 0; right: 0; bottom: 0;
  overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
  opacity: 1 !important; }
.told p { margin: 0; overflow-wrap: anywhere; }
.told [role=alert] { border-left: 4px solid #b3261e; padding-left: .5rem; }
.told .note { border-left: 4px solid #8a6100; padding-left: .5rem; }
table th, table td { text-align: left; padding: .1rem 1rem .1rem 0; }
.chosen dl { display: grid; grid-template-columns: auto 1fr;
  column-gap: .75rem; margin: 0; }
.chosen dt { font-weight: 600; }
.chosen dd { margin: 0; overflow-wrap: anywhere; }
"""


def gradio() -> Any:
    """Import Gradio.

    Returns:
        ModuleType: ``gradio``.

    Raises:
        ImportError: If it is not installed, naming the extra.
    """
    return require('gradio', 'demo', 'A page')


def build_page(search: PageSearch, title: str = 'Person search') -> Any:
    """Build the page and the API of a search.

    Args:
        search (PageSearch): What it does.
        title (str): Title of the page. Defaults to ``'Person search'``.

    Returns:
        gradio.Blocks: The page, not yet served.

    Raises:
        ImportError: If Gradio is not installed.
    """
    gr = gradio()
    with gr.Blocks(
        title=title, analytics_enabled=False, delete_cache=(LOOKS, KEPT)
    ) as page:
        parts = Parts(gr, search, title)
        Events(gr, search, parts).connect()
        add_api(gr, search)
    return page


def page_looks() -> dict[str, Any]:
    """Give the looks of the page: no font or style of another host.

    Returns:
        dict[str, Any]: Arguments of Gradio's ``launch``.
    """
    gr = gradio()
    theme = gr.themes.Default(
        primary_hue='blue',
        font=['system-ui', 'sans-serif'],
        font_mono=['ui-monospace', 'monospace'],
    )
    # Greys and blues that stand out enough to be read by everybody.
    theme.set(
        body_text_color_subdued='*neutral_600',
        block_info_text_color='*neutral_600',
        block_label_text_color='*neutral_600',
        input_placeholder_color='*neutral_500',
        button_primary_background_fill='*primary_700',
        button_primary_background_fill_hover='*primary_800',
    )
    return dict(theme=theme, css=_STYLE, footer_links=[])
