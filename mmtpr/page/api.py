"""The search of the page for programs: a JSON API."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from .page_search import FoundPage, PageSearch
from .photos import check_photo
from .telling import alone, message_of


def add_api(gr: Any, search: PageSearch) -> None:
    """Add ``/search``, ``/image`` and ``/vote`` to a page.

    Args:
        gr (ModuleType): Gradio.
        search (PageSearch): What they do.
    """
    api = _Api(search)
    # Not seen; they tell Gradio what the arguments are.
    with gr.Row(visible=False):
        query = [
            gr.Textbox(label='sentence'),
            gr.Textbox('', label='where'),
            gr.Number(1, precision=0, label='page'),
            gr.File(label='photo'),
            gr.Textbox('', label='like'),
        ]
        name = gr.Textbox(label='id')
        vote = gr.Number(1, precision=0, label='vote')
        answer, image = gr.JSON(), gr.Image(format='jpeg')
        _offer(gr, 'search', api.search, query, answer)
        _offer(gr, 'image', api.image, [name], image)
        if search.votes is not None:
            _offer(gr, 'vote', api.vote, [name, vote, *query], answer)


def _offer(
    gr: Any, name: str, function: Callable, takes: list, gives: Any
) -> None:
    """Offer a function that ends in a sentence for who called it."""

    @wraps(function)
    def told(*args: Any) -> Any:
        try:
            return function(*args)
        except Exception as error:
            message = message_of(error)
            raise gr.Error(message, print_exception=False) from error

    gr.Button().click(told, takes, gives, api_name=name)


class _Api:
    """The functions; their arguments are those of the API."""

    def __init__(self, page: PageSearch) -> None:
        self.page = page

    def search(
        self,
        sentence: str,
        where: str = '',
        page: int = 1,
        photo: str | None = None,
        like: str = '',
    ) -> dict[str, Any]:
        """Search by a sentence, maybe with a photo or an image's id."""
        return self._found(sentence, where, page, photo, like).to_dict()

    def image(self, id: str) -> Any:
        """Give an image of the gallery, small."""
        return alone(self.page.images.thumbnail(id))

    def vote(
        self,
        id: str,
        vote: int,
        sentence: str,
        where: str = '',
        page: int = 1,
        photo: str | None = None,
        like: str = '',
    ) -> dict[str, Any]:
        """Keep what one thinks of a result: 1 fits, -1 does not."""
        found = self._found(sentence, where, page, photo, like)
        self.page.vote(found, id, vote)
        return dict(kept=True)

    def _found(
        self, sentence: str, where: str, page: int, photo: Any, like: str
    ) -> FoundPage:
        if photo and like:
            raise ValueError(
                'Give a photo, or the id of an image to start from, not both.'
            )
        reference = check_photo(photo) if photo else None
        if like:
            reference = self.page.like(like)
        return self.page.search(sentence, reference, where, page)
