"""What stands on the page."""

import re
from typing import Any

from .page_search import PageSearch
from .photos import ENDINGS
from .telling import table


class Parts:
    """What stands on the page, from its top to its end.

    Made inside Gradio's ``Blocks``.

    Args:
        gr (ModuleType): Gradio.
        search (PageSearch): What the page does.
        title (str): Title of the page.
    """

    def __init__(self, gr: Any, search: PageSearch, title: str) -> None:
        self.found = gr.State(None)
        self.reference = gr.State(None)
        self.chosen = gr.State(None)
        store = search.searcher.store
        gr.Markdown(f'# {title}\n\n{len(store):,} images.')
        with gr.Row():
            with gr.Column(scale=3):
                self.sentence = gr.Textbox(
                    label='Sentence',
                    placeholder='A woman in a red coat with a white bag',
                    info=_hint(search),
                    lines=2,
                    max_lines=6,
                    submit_btn=False,
                    elem_id='sentence',
                )
                self.where = gr.Textbox(
                    label='Only images with',
                    placeholder="camera == 3 and time > '2024-05-01'",
                    elem_id='where',
                    visible=bool(search.searcher.column_kinds),
                )
                _add_columns(gr, search)
                self.submit = gr.Button(
                    'Search', variant='primary', elem_id='search'
                )
            self._add_photo(gr, search)
        self.told = gr.HTML(elem_id='told', elem_classes='told')
        gr.Markdown('## Results\n\nChoose an image to say more about it.')
        self.grid = gr.Gallery(
            label='Results',
            show_label=False,
            columns=5,
            height='auto',
            object_fit='contain',
            allow_preview=False,
            interactive=False,
            buttons=[],
            format='jpeg',
            elem_id='grid',
        )
        with gr.Row():
            self.back = gr.Button(
                'Page before', interactive=False, elem_id='back'
            )
            self.on = gr.Button('Next page', interactive=False, elem_id='on')
        with gr.Row():
            self.facts = gr.HTML(elem_id='chosen', elem_classes='chosen')
        with gr.Row():
            self.fits = gr.Button(
                'It fits',
                interactive=False,
                visible=search.votes is not None,
                elem_id='fits',
            )
            self.fails = gr.Button(
                'It does not fit',
                interactive=False,
                visible=search.votes is not None,
                elem_id='fails',
            )
            self.like = gr.Button(
                'Like this one, but …',
                interactive=False,
                visible=search.takes_photo,
                elem_id='like',
            )
        gr.Markdown(
            'The best match is the most similar image of those searched, '
            'right or wrong. A person must look before anything follows from '
            'it.'
        )

    def _add_photo(self, gr: Any, search: PageSearch) -> None:
        self.upload: Any = None
        if not search.takes_photo:
            return
        with gr.Column(scale=1, min_width=180):
            gr.Markdown('Photo of the query')
            self.photo = gr.Image(
                label='Photo of the query',
                show_label=False,
                interactive=False,
                buttons=[],
                height=220,
                format='jpeg',
                elem_id='photo',
            )
            self.upload = gr.UploadButton(
                'Upload a photo', file_types=[*ENDINGS], elem_id='upload'
            )
            self.clear = gr.Button('No photo', elem_id='clear')


def _hint(search: PageSearch) -> str:
    if not search.takes_photo:
        return 'What the person looks like.'
    if search.searcher.sentences_alone:
        return (
            'What the person looks like; with a photo, what is different '
            'from it.'
        )
    return 'What is different from the photo.'


def _add_columns(gr: Any, search: PageSearch) -> None:
    """Tell what the filter can name."""
    kinds = search.searcher.column_kinds
    if not kinds:
        return
    samples = dict(
        bool='true', int='3', float='0.5', text="'a text'", time="'2024-05-01'"
    )
    rows = [(k, kind, _clause(k, samples[kind])) for k, kind in kinds.items()]
    with gr.Accordion('Columns', open=False):
        gr.HTML(table(('column', 'kind', 'for example'), rows))


def _clause(name: str, sample: str) -> str:
    column = name if re.fullmatch(r'[^\W\d]\w*', name) else f'`{name}`'
    return f'{column} == {sample}'
