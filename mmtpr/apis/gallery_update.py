"""A store of a gallery made to follow a folder of images."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmtpr.gallery import GalleryStore, ModelIdentity
from mmtpr.gallery.new_items import is_storable
from mmtpr.models.embedder import Embedder
from mmtpr.utils.progress import progress
from mmtpr.utils.warn import warn

from .column_table import ColumnTable
from .embedding import image_embedder, image_entries
from .image_facts import (
    FACTS,
    ImageFacts,
    broken_facts,
    broken_note,
    known_facts,
    look_at_images,
)
from .loaded_retriever import load_retriever

#: Note of a store that remembers broken images.
BROKEN = 'broken_images'
#: Numbers of vectors that are read at a time.
_NUMBERS = 1 << 24


@dataclass
class GalleryUpdate:
    """What an update found.

    Attributes:
        new (int): Images that are embedded for the first time.
        changed (int): Images that are embedded again.
        vanished (int): Images that are gone, and so are their items.
        same (int): Images that are as they were.
        rewritten (int): How many of these got other columns.
        broken (dict[str, str]): Path in the folder -> reason, of images that
            cannot be read; they have no item.
    """

    new: int = 0
    changed: int = 0
    vanished: int = 0
    same: int = 0
    rewritten: int = 0
    broken: dict[str, str] = field(default_factory=dict)


def load_embedder(
    config: str | Config,
    checkpoint: str | None = None,
    device: str = 'cpu',
    batch_size: int = 64,
    num_workers: int = 0,
) -> tuple[Embedder, ModelIdentity]:
    """Load a model that embeds images for a store.

    Args:
        config (str | Config): Config or its path, with a ``test_dataloader``
            whose pipeline is used; or a folder that a model was exported or
            saved to.
        checkpoint (str, optional): The weights; None for what the model loads
            by itself, and with a folder. Defaults to None.
        device (str): Defaults to ``'cpu'``.
        batch_size (int): Images embedded at a time. Defaults to 64.
        num_workers (int): Processes that read images. Defaults to 0.

    Returns:
        tuple[Embedder, ModelIdentity]: The embedder, and whose vectors it
        gives.
    """
    found = load_retriever(config, checkpoint, device)
    embedder = image_embedder(
        found.pipeline,
        found.collate,
        found.model,
        batch_size,
        num_workers,
    )
    return embedder, found.identity


def update_gallery(
    store: GalleryStore,
    folder: str | os.PathLike,
    embedder: Embedder,
    flush_every: int = 20_000,
    by_content: bool = False,
    columns: ColumnTable | None = None,
    missing_rows: str = 'error',
) -> GalleryUpdate:
    """Make a store follow a folder; only new and changed images are embedded.

    Images are told by path, size and time of change. Ids are the paths in the
    folder. Items of the store that did not come by an update stay. Images
    that cannot be read are named and remembered until they change. An update
    that is killed goes on where it last flushed.

    Args:
        store (GalleryStore): Open for writing, of the embedder's model.
        folder (str | PathLike): The images, also in folders below.
        embedder (Embedder): Of :func:`load_embedder`.
        flush_every (int): Images after which the state is written. Defaults
            to 20,000.
        by_content (bool): Whether all images are read and told by their
            content, which is slower and sees what size and time do not show.
            Items whose content was never read are told by size and time once
            more. Defaults to False.
        columns (ColumnTable, optional): Columns of the user. Defaults to
            None: images keep what they have, new ones have none.
        missing_rows (str): What an image without a row in ``columns`` means:
            ``'error'`` stops before anything is done, ``'null'`` lets it keep
            what it has, which for a new one is nothing. Defaults to
            ``'error'``.

    Returns:
        GalleryUpdate: What was found.

    Raises:
        FileNotFoundError: If there is no such folder.
        LaunchError: If the disk is full.
        ValueError: If the folder holds no images, or columns do not fit.
    """
    root = Path(folder).absolute()
    facts = look_at_images(root, by_content)
    follower = _Follower(store, root, facts)
    if columns is not None:
        follower.take_columns(columns, missing_rows)
    found = follower.plan()
    follower.delete_vanished()
    follower.rewrite_columns(flush_every)
    follower.embed(embedder, flush_every)
    if found.broken:
        name, reason = next(iter(found.broken.items()))
        warn(
            f'{len(found.broken)} of {len(facts)} images of "{folder}" cannot '
            f'be read and have no item, e.g. {name!r}: {reason}. Repaired '
            'ones are taken up by the next update.'
        )
    return found


class _Follower:
    """One update: what is in the folder, in the store, and to be done.

    Args:
        store (GalleryStore): The store.
        root (Path): The folder.
        facts (dict[str, ImageFacts]): Its images, by path in it.
    """

    def __init__(
        self, store: GalleryStore, root: Path, facts: dict[str, ImageFacts]
    ) -> None:
        self.store, self.root, self.facts = store, root, facts
        ids = store.ids()
        self.former = store.columns(ids)
        self.known = known_facts(ids, self.former)
        self.rows = {name: row for row, name in enumerate(ids)}
        self.remembered = {
            name: told
            for name, told in store.notes.get(BROKEN, {}).items()
            if name in facts
        }
        self.users = [x for x in store.column_kinds if x not in FACTS]
        self.table: dict[str, list] = {}
        self.table_rows: dict[str, int] = {}
        self.wanted: list[str] = []
        self.stale: list[str] = []
        self.found = GalleryUpdate()

    def take_columns(self, columns: ColumnTable, missing_rows: str) -> None:
        """Let columns of the user be those of a table, or stop."""
        self.table = columns.values(self.store.column_kinds)
        self.table_rows = columns.match(self.root, self.facts, missing_rows)
        self.users = list(dict.fromkeys([*self.users, *self.table]))

    def plan(self) -> GalleryUpdate:
        """Find out what is to be done."""
        found = self.found
        for name, fact in self.facts.items():
            if not is_storable(name):
                found.broken[name] = 'its name is no Unicode text'
                continue
            told = self.remembered.get(name)
            if told is not None and fact.same(broken_facts(told)):
                found.broken[name] = told[2]
            elif name in self.known and fact.same(self.known[name]):
                found.same += 1
                maybe = name in self.table_rows or fact.content is not None
                if fact.content is None:  # not read this time
                    fact.content = self.known[name].content
                if maybe and self._is_stale(name):
                    self.stale.append(name)
            else:
                self.wanted.append(name)
                self.remembered.pop(name, None)
        self._warn_of_new()
        return found

    def _is_stale(self, name: str) -> bool:
        now = {k: v[0] for k, v in self._columns([name]).items()}
        row = self.rows[name]
        return any(
            value != self.former[column][row]
            if column in self.former
            else value is not None
            for column, value in now.items()
        )

    def _warn_of_new(self) -> None:
        new = [x for x in self.wanted if x not in self.known]
        if self.users and new and not self.table:
            warn(
                f'{len(new)} new images, first {new[0]!r}, have no values in '
                f'the columns {", ".join(self.users)}, and no filter on them '
                'finds these images. Give a table of columns.'
            )

    def delete_vanished(self) -> None:
        """Delete the items of images that are gone."""
        names = [name for name in self.known if name not in self.facts]
        if names:
            self.store.delete(names)
        self.found.vanished = len(names)

    def rewrite_columns(self, flush_every: int) -> None:
        """Give images other columns without embedding them again."""
        vectors, dim = self.store.shape
        step = min(flush_every, max(1, _NUMBERS // max(1, vectors * dim)))
        for start in range(0, len(self.stale), step):
            names = self.stale[start : start + step]
            self._upsert(names, self.store.fetch(names))
        self.found.rewritten = len(self.stale)

    def embed(self, embedder: Embedder, flush_every: int) -> None:
        """Embed images and put them in place, some flushes on the way."""
        wanted, waiting = self.wanted, 0
        entries = image_entries([str(self.root / name) for name in wanted])
        what = 'Embedding images of the gallery'
        with progress(len(wanted), what) as advance:
            for batch in embedder(entries):
                names = [wanted[index] for index in batch.indices]
                if batch.feats is not None:
                    self._upsert(names, batch.feats)
                again = sum(name in self.known for name in names)
                self.found.changed += again
                self.found.new += len(names) - again
                for index, reason in batch.broken.items():
                    self._break(wanted[index], reason)
                advance(len(batch))
                waiting += len(batch)
                if waiting >= flush_every:
                    self._flush()
                    waiting = 0
        self._flush()

    def _break(self, name: str, reason: str) -> None:
        warn(f'The image "{name}" is left out: {reason}.')
        self.found.broken[name] = reason
        self.remembered[name] = broken_note(self.facts[name], reason)
        if name in self.known:  # the image it was is gone
            self.store.delete([name])

    def _flush(self) -> None:
        self.store.set_notes({**self.store.notes, BROKEN: self.remembered})
        self.store.flush()

    def _upsert(self, names: list[str], feats: Any) -> None:
        paths = [str(self.root / name) for name in names]
        self.store.upsert(names, feats, paths, self._columns(names))

    def _columns(self, names: list[str]) -> dict[str, list]:
        """Values of images: of files, of the table, else what they had."""
        out: dict[str, list] = {name: [] for name in (*FACTS, *self.users)}
        for name in names:
            for column, value in self.facts[name].columns().items():
                out[column].append(value)
            row, former = self.table_rows.get(name), self.rows.get(name)
            for column in self.users:
                if row is not None and column in self.table:
                    out[column].append(self.table[column][row])
                elif former is not None and column in self.former:
                    out[column].append(self.former[column][former])
                else:
                    out[column].append(None)
        return out
