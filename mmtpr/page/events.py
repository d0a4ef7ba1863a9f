"""What happens on the page."""

from typing import Any

from mmtpr.utils.warn import warn

from .page_search import FoundPage, PageSearch
from .parts import Parts
from .photos import Reference, check_photo
from .telling import (
    alert,
    alone,
    facts,
    message_of,
    no_image,
    read_reference,
    status,
    summary,
)


class Events:
    """What happens on the page.

    Args:
        gr (ModuleType): Gradio.
        search (PageSearch): What the page does.
        parts (Parts): What stands on it.
    """

    def __init__(self, gr: Any, search: PageSearch, parts: Parts) -> None:
        self.gr, self.search, self.parts = gr, search, parts

    def connect(self) -> None:
        """Bind events to what they change; none is part of the API."""
        parts = self.parts
        query = [parts.sentence, parts.reference, parts.where]
        shown = [
            *(parts.told, parts.grid, parts.found, parts.back, parts.on),
            *self._of_choice,
        ]
        hidden: dict[str, Any] = dict(
            api_visibility='private', show_progress='minimal'
        )
        self.gr.on(
            [parts.submit.click, parts.sentence.submit, parts.where.submit],
            self.first_page,
            query,
            shown,
            **hidden,
        )
        parts.on.click(self.next_page, parts.found, shown, **hidden)
        parts.back.click(self.page_before, parts.found, shown, **hidden)

        def choose(found: FoundPage | None, event: Any) -> list:
            return self.choose(found, event.index)

        # Gradio finds by its type which argument is the event.
        choose.__annotations__['event'] = self.gr.SelectData
        parts.grid.select(
            choose, parts.found, [*self._of_choice, parts.told], **hidden
        )
        votes = [parts.found, parts.chosen]
        parts.fits.click(self.vote_for, votes, parts.told, **hidden)
        parts.fails.click(self.vote_against, votes, parts.told, **hidden)
        if parts.upload is not None:
            photo = [parts.reference, parts.photo, parts.told]
            parts.upload.upload(self.bring, parts.upload, photo, **hidden)
            parts.like.click(self.take, parts.chosen, photo, **hidden)
            parts.clear.click(self.drop, None, photo, **hidden)

    @property
    def _of_choice(self) -> list:
        parts = self.parts
        buttons = [parts.fits, parts.fails, parts.like]
        return [parts.chosen, parts.facts, *buttons]

    def _choice(self, row: dict | None) -> list:
        """Values of :attr:`_of_choice`."""
        off = self.gr.update(interactive=row is not None)
        name = None if row is None else row['id']
        return [name, facts(row), off, off, off]

    def first_page(self, sentence: str, reference: Any, where: str) -> list:
        """Search."""
        return self._look(sentence, reference, where, 1)

    def next_page(self, found: FoundPage | None) -> list:
        """Show the images after these."""
        return self._turn(found, 1)

    def page_before(self, found: FoundPage | None) -> list:
        """Show the images before these."""
        return self._turn(found, -1)

    def _turn(self, found: FoundPage | None, by: int) -> list:
        if found is None:
            return self._failed('Search first.')
        page = max(1, found.page + by)
        return self._look(found.query, found.reference, found.where, page)

    def _look(
        self, sentence: str, reference: Any, where: str | None, page: int
    ) -> list:
        try:
            found = self.search.search(sentence, reference, where, page)
        except Exception as error:
            return self._failed(message_of(error))
        images, missing = [], []
        for row in found.rows:
            caption = f'{row["rank"]}. {row["score"]:.4f}  {row["id"]}'
            try:
                image = self.search.images.thumbnail(row['id'])
            except ValueError as error:
                image = no_image()
                missing.append(str(error))
                warn(str(error))
            images.append((alone(image), caption))
        notes = [*found.notes, *missing]
        return [
            status(summary(found), notes),
            self._grid(images),
            found,
            self.gr.update(interactive=page > 1),
            self.gr.update(interactive=found.more),
            *self._choice(None),
        ]

    def _failed(self, why: str) -> list:
        off = self.gr.update(interactive=False)
        return [
            alert(why),
            self._grid([]),
            None,
            *(off, off),
            *self._choice(None),
        ]

    def _grid(self, images: list) -> Any:
        """The grid with none of its images chosen."""
        return self.gr.update(value=images, selected_index=None)

    def choose(self, found: FoundPage | None, index: int) -> list:
        """Look at one result."""
        if found is None or not 0 <= index < len(found.rows):
            return [*self._choice(None), alert('Search first.')]
        row = found.rows[index]
        told = status(f'Image {row["rank"]} is chosen.')
        return [*self._choice(row), told]

    def vote_for(self, found: Any, name: str | None) -> str:
        """Keep that a result fits."""
        return self._vote(found, name, 1)

    def vote_against(self, found: Any, name: str | None) -> str:
        """Keep that a result does not fit."""
        return self._vote(found, name, -1)

    def _vote(self, found: Any, name: str | None, vote: int) -> str:
        if found is None or name is None:
            return alert('Choose an image first.')
        try:
            self.search.vote(found, name, vote)
        except Exception as error:
            return alert(message_of(error))
        told = 'fits' if vote > 0 else 'does not fit'
        return status(f'It is kept that "{name}" {told}.')

    def bring(self, path: str) -> list:
        """Take a photo that was uploaded."""
        try:
            return self._taken(check_photo(path))
        except Exception as error:
            return [None, None, alert(message_of(error))]

    def take(self, name: str | None) -> list:
        """Take a result as the photo."""
        if name is None:
            return [None, None, alert('Choose an image first.')]
        try:
            return self._taken(self.search.like(name))
        except Exception as error:
            return [None, None, alert(message_of(error))]

    def _taken(self, reference: Reference) -> list:
        image = read_reference(reference)
        image = image and alone(image)
        told = status('Now say what is different from the photo, and search.')
        return [reference, image, told]

    def drop(self) -> list:
        """Take no photo."""
        return [None, None, status('The next search is without a photo.')]
