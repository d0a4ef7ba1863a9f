"""The search behind a page and behind its API."""

import threading
from dataclasses import dataclass
from typing import Any

from mmtpr.apis import GallerySearcher, SearchResult
from mmtpr.apis.results import check_count
from mmtpr.gallery.two_stage import CANDIDATES
from mmtpr.text.characters import is_blank
from mmtpr.utils.warn import heard_warnings

from .gallery_images import GalleryImages
from .photos import Reference
from .votes import VoteFile

#: Characters of a sentence; a text tower reads some hundred.
MOST_CHARACTERS = 20_000
#: Results of a query, on all pages together.
MOST_RESULTS = CANDIDATES


@dataclass(frozen=True)
class FoundPage:
    """One page of what was found.

    Attributes:
        query (str): The sentence.
        reference (Reference | None): The photo of the query.
        where (str | None): The filter.
        page (int): Number of the page, from 1.
        rows (list[dict]): ``rank``, ``score``, ``id`` and ``columns`` of each
            image; see :meth:`SearchResult.rows`.
        more (bool): Whether there is a next page.
        notes (list[str]): What the user should know of the query.
    """

    query: str
    reference: Reference | None
    where: str | None
    page: int
    rows: list[dict[str, Any]]
    more: bool
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Give the page as json holds it, without any path of the machine.

        Returns:
            dict[str, Any]: The attributes by name; times are texts.
        """
        reference = self.reference.to_dict() if self.reference else None
        rows = [
            dict(row, columns={k: _plain(v) for k, v in values.items()})
            for row in self.rows
            for values in [row['columns']]
        ]
        return dict(vars(self), reference=reference, rows=rows)


class PageSearch:
    """What users of a page can do; any number of threads may call it.

    Args:
        searcher (GallerySearcher): Of the model and the gallery.
        images (GalleryImages): Of the same gallery.
        votes (VoteFile, optional): Where votes go. Defaults to None: nobody
            can vote.
        page_size (int): Images on a page. Defaults to 10.
    """

    def __init__(
        self,
        searcher: GallerySearcher,
        images: GalleryImages,
        votes: VoteFile | None = None,
        page_size: int = 10,
    ) -> None:
        check_count('page_size', page_size)
        self.searcher, self.images, self.votes = searcher, images, votes
        self.page_size = page_size
        self._lock = threading.Lock()

    @property
    def takes_photo(self) -> bool:
        """Tell whether a query can have a photo.

        Returns:
            bool: False for models of sentences alone.
        """
        return self.searcher.retriever.composed

    def search(
        self,
        sentence: str,
        reference: Reference | None = None,
        where: str | None = None,
        page: int = 1,
    ) -> FoundPage:
        """Search the gallery as it is on disk.

        Args:
            sentence (str): What to look for, or what is different from the
                photo.
            reference (Reference, optional): The photo. Defaults to None.
            where (str, optional): Filter on columns. Defaults to None.
            page (int): From 1. Defaults to 1.

        Returns:
            FoundPage: The page; without rows where there are no more.

        Raises:
            ValueError: If the query is not one that the model takes.
            WhereError: If the filter cannot be read or has a wrong column.
        """
        check_count('page', page)
        self._check(sentence, reference)
        where = None if where is None or is_blank(where) else where
        start = (page - 1) * self.page_size
        wanted = min(page * self.page_size + 1, MOST_RESULTS)
        if start >= MOST_RESULTS:
            raise ValueError(
                f'A query shows {MOST_RESULTS:,} images at most. Say more in '
                'the sentence, or filter.'
            )
        query: Any = sentence
        if reference is not None:
            query = dict(img_path=reference.path, caption=sentence)
        with self._lock, heard_warnings() as notes:
            if page == 1:
                self.searcher.store.refresh()
            (found,) = self.searcher(
                query,
                k=wanted,
                where=where,
                exclude_reference=reference is not None,
            )
        return self._page(found, reference, where, page, notes)

    def _check(self, sentence: str, reference: Reference | None) -> None:
        if not isinstance(sentence, str) or is_blank(sentence):
            raise ValueError(
                'The sentence is empty: write what to look for.'
                if reference is None
                else 'The sentence is empty: write what is different from '
                'the photo.'
            )
        if len(sentence) > MOST_CHARACTERS:
            raise ValueError(
                f'The sentence has {len(sentence):,} characters; at most '
                f'{MOST_CHARACTERS:,} are read. Shorten it.'
            )
        if reference is not None and not self.takes_photo:
            raise ValueError('The model takes sentences alone, no photo.')
        alone = self.searcher.sentences_alone or not self.takes_photo
        if reference is None and not alone:
            raise ValueError(
                'The model looks for a photo with a sentence: choose a photo '
                'first.'
            )

    def _page(
        self,
        found: SearchResult,
        reference: Reference | None,
        where: str | None,
        page: int,
        notes: list[str],
    ) -> FoundPage:
        start, stop = (page - 1) * self.page_size, page * self.page_size
        rows = found.rows()
        kept = [
            {name: row[name] for name in ('rank', 'score', 'id', 'columns')}
            for row in rows[start:stop]
        ]
        return FoundPage(
            found.query,
            reference,
            where,
            page,
            kept,
            len(rows) > stop,
            list(dict.fromkeys(notes)),
        )

    def like(self, name: str) -> Reference:
        """Take an image of the gallery as the photo of a query.

        Args:
            name (str): Its id.

        Returns:
            Reference: The photo.

        Raises:
            ValueError: If there is no such image, or it must not be shown.
        """
        return Reference(self.images.path(name), name=name)

    def vote(self, found: FoundPage, name: str, vote: int) -> None:
        """Keep what a user thinks of a result.

        Args:
            found (FoundPage): Page on which the result stands.
            name (str): Its id.
            vote (int): 1 where it fits, -1 where it does not.

        Raises:
            LaunchError: If the disk is full.
            ValueError: If the result is not on the page, or nobody can vote.
        """
        if self.votes is None:
            raise ValueError('Votes are not kept here.')
        if vote not in (1, -1):
            raise ValueError('A vote is 1, which fits, or -1, which does not.')
        row = next((row for row in found.rows if row['id'] == name), None)
        if row is None:
            raise ValueError('Only images that were found can be voted on.')
        page = found.to_dict()
        self.votes.add(
            dict(
                query=found.query,
                reference=page['reference'],
                where=found.where,
                id=name,
                rank=row['rank'],
                score=row['score'],
                vote=vote,
                model=self.searcher.retriever.identity.to_dict(),
            )
        )


def _plain(value: Any) -> Any:
    """A value of a column for json."""
    return value.isoformat() if hasattr(value, 'isoformat') else value
