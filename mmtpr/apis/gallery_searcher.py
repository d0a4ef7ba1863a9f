"""Search of a gallery that is kept on disk."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from mmtpr.gallery import FaissStore, GalleryStore, Hits
from mmtpr.gallery.two_stage import CANDIDATES
from mmtpr.structures.image_paths import image_paths
from mmtpr.structures.negatives import negative_of

from .image_facts import FACTS
from .loaded_retriever import LoadedRetriever
from .paraphrases import Paraphrases, add_paraphrases, paraphrase_means
from .queries import Query, list_queries, sentence_of
from .query_embedding import embed_queries, embed_sentences
from .results import check_count


@dataclass(frozen=True)
class SearchResult:
    """What was found for one query, best first.

    Attributes:
        query (str): The sentence.
        ids (list[str]): Of the k images.
        paths (list[str]): Likewise.
        scores (list[float]): Likewise.
        columns (dict[str, list]): Their k values of each column of the user,
            None where one is missing.
        reference (str | None): Image of the query, if it has one; the first
            of several.
        proven (int | None): Places, counted from the first, in which a
            comparison with all images would show the same; None if nobody
            asked.
        references (list[str]): All images of the query.
        negative (dict): ``negative_text`` and ``negative_weight`` of the
            query, what is not wanted; empty without.
    """

    query: str
    ids: list[str]
    paths: list[str]
    scores: list[float]
    columns: dict[str, list] = field(default_factory=dict)
    reference: str | None = None
    proven: int | None = None
    references: list[str] = field(default_factory=list)
    negative: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self) -> list[dict[str, Any]]:
        """Give the images one by one.

        Returns:
            list[dict]: ``rank`` from 1, ``score``, ``id``, ``path`` and
            ``columns``, values by name.
        """
        parts = zip(self.ids, self.paths, self.scores, strict=True)
        return [
            dict(
                rank=place + 1,
                score=score,
                id=name,
                path=path,
                columns={k: v[place] for k, v in self.columns.items()},
            )
            for place, (name, path, score) in enumerate(parts)
        ]


class GallerySearcher:
    """Find the images of a store by a sentence, or by a photo with one.

    Args:
        retriever (LoadedRetriever): Of :func:`load_retriever`, the one that
            the store was made with.
        store (str | PathLike | GalleryStore): The store, or its folder.
        topk_tokens (int, optional): How many of an image's T cosines are
            averaged. Defaults to None: what the config's evaluator says, else
            1.
        batch_size (int): Queries embedded at a time. Defaults to 64.
        sentences_alone (bool): Whether a composed model takes sentences
            without an image too, which its text tower embeds: for the first
            look, before there is a photo. Defaults to False.

    Raises:
        FileNotFoundError: If there is no store.
        ValueError: If the store is of another model; both are named.

    Examples:
        >>> retriever = load_retriever('config.py', 'checkpoint.pth')
        >>> searcher = GallerySearcher(retriever, 'my_gallery')
        >>> (found,) = searcher('a woman in a red coat', where='camera == 3')
        >>> found.paths[0], found.columns['camera'][0]
    """

    def __init__(
        self,
        retriever: LoadedRetriever,
        store: str | os.PathLike | GalleryStore,
        topk_tokens: int | None = None,
        batch_size: int = 64,
        sentences_alone: bool = False,
    ) -> None:
        if topk_tokens is not None:
            check_count('topk_tokens', topk_tokens)
        if not isinstance(store, GalleryStore):
            store = FaissStore(store)
        store.identity.check(retriever.identity, store.name)
        self.retriever, self.store = retriever, store
        self.topk_tokens = topk_tokens or retriever.topk_tokens
        self.batch_size = batch_size
        self.sentences_alone = sentences_alone and retriever.embeds_sentences

    @property
    def column_kinds(self) -> dict[str, str]:
        """Kinds of the user's columns by name.

        Returns:
            dict[str, str]: See :attr:`GalleryStore.column_kinds`.
        """
        kinds = self.store.column_kinds
        return {name: kinds[name] for name in kinds if name not in FACTS}

    def __call__(
        self,
        queries: Query | Sequence[Query],
        k: int = 10,
        where: str | None = None,
        exact: bool = False,
        certify: bool = False,
        candidates: int = CANDIDATES,
        exclude_reference: bool = False,
        paraphrases: Paraphrases | None = None,
        paraphrase_weight: float = 1.0,
    ) -> list[SearchResult]:
        """Search.

        Args:
            queries (str | dict | Sequence): One query or several: sentences,
                or dicts of ``img_path`` and ``caption``.
            k (int): Images to find. Defaults to 10.
            where (str, optional): Filter on columns, see
                :func:`mmtpr.gallery.parse_where`. Defaults to None.
            exact (bool): Whether all images are compared. Defaults to False.
            certify (bool): Whether to find out how many places are proven.
                Defaults to False.
            candidates (int): Images that are scored otherwise. Defaults to
                1,000.
            exclude_reference (bool): Whether a query's own image is left out.
                Defaults to False.
            paraphrases (Sequence[str] | Mapping | Callable, optional): Other
                words for the queries, see :func:`paraphrases_of`; the mean of
                their embeddings is added to the query's. Defaults to None.
            paraphrase_weight (float): Of that mean. Defaults to 1.

        Returns:
            list[SearchResult]: One a query; fewer than k images where there
            are no more.

        Raises:
            FileNotFoundError: If a reference image is absent.
            ValueError: If a query is not of the model's form, or something
                else does not fit.
            WhereError: If the filter cannot be read or has a wrong column.
        """
        check_count('k', k)
        queries = self._listed(queries)
        if not queries:
            return []
        vectors = self.embed(queries)
        if paraphrases is not None:
            vectors = add_paraphrases(
                vectors,
                paraphrase_means(
                    queries, paraphrases, self.embed, paraphrase_weight
                ),
            )
        options: dict[str, Any] = dict(
            where=where,
            topk_tokens=self.topk_tokens,
            candidates=candidates,
            exact=exact,
            certify=certify,
        )
        if not exclude_reference:
            found = self.store.search(vectors, k, **options)
        else:
            found = [
                self._without_own(query, vector, k, options)
                for query, vector in zip(queries, vectors, strict=True)
            ]
        return [
            self._result(query, hits)
            for query, hits in zip(queries, found, strict=True)
        ]

    def embed(self, queries: Sequence[Query]) -> Tensor:
        """Embed queries.

        Args:
            queries (Sequence[str | dict]): Q checked queries.

        Returns:
            Tensor: Of shape (Q, D), float32.
        """
        loaded = self.retriever
        alone = loaded.composed and all(isinstance(q, str) for q in queries)
        embed: Any = embed_sentences if alone else embed_queries
        return embed(
            queries,
            loaded.pipeline,
            loaded.collate,
            loaded.model,
            self.batch_size,
        )

    def _listed(self, queries: Query | Sequence[Query]) -> list[Query]:
        """Checked queries, all with an image or all without."""
        queries = [queries] if isinstance(queries, str | dict) else queries
        composed = self.retriever.composed
        alone = self.sentences_alone and isinstance(queries, list | tuple)
        if composed and alone:
            composed = not all(isinstance(query, str) for query in queries)
        return list_queries(queries, composed)

    def _without_own(
        self, query: Query, vector: Tensor, k: int, options: dict[str, Any]
    ) -> Hits:
        """Search without the image of a query, however often it is there."""
        own = _references(query)
        if not own:
            return self.store.search(vector, k, **options)[0]
        real, asked = {os.path.realpath(path) for path in own}, k + len(own)
        while True:
            (hits,) = self.store.search(vector, asked, **options)
            same = [os.path.realpath(path) in real for path in hits.paths]
            if len(hits) < asked or same.count(False) >= k:
                return _kept(hits, same, k)
            asked *= 2

    def _result(self, query: Query, hits: Hits) -> SearchResult:
        columns = self.store.columns(hits.ids)
        own = {'path', *FACTS}
        return SearchResult(
            sentence_of(query),
            hits.ids,
            hits.paths,
            hits.scores.tolist(),
            {name: x for name, x in columns.items() if name not in own},
            next(iter(_references(query)), None),
            hits.proven,
            _references(query),
            negative_of(query) if isinstance(query, dict) else {},
        )


def _references(query: Query) -> list[str]:
    """Images of a checked query."""
    return image_paths(
        query.get('img_path') if isinstance(query, dict) else None
    )


def _kept(hits: Hits, dropped: Sequence[bool], k: int) -> Hits:
    """The first k hits that are not dropped."""
    kept = [place for place, out in enumerate(dropped) if not out][:k]
    proven = hits.proven
    if proven is not None:
        proven = sum(place < proven for place in kept)
    return Hits(
        [hits.ids[place] for place in kept],
        [hits.paths[place] for place in kept],
        hits.scores[kept],
        proven,
    )
