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

from .embedding import image_embedder, image_entries
from .gallery_files import list_images
from .loaded_retriever import load_retriever

#: Columns by which a changed image is told, and the note of broken ones.
SIZE, TIME, BROKEN = 'file_bytes', 'file_time', 'broken_images'


@dataclass
class GalleryUpdate:
    """What an update found.

    Attributes:
        new (int): Images that are embedded for the first time.
        changed (int): Images that are embedded again.
        vanished (int): Images that are gone, and so are their items.
        same (int): Images that are as they were.
        broken (dict[str, str]): Path in the folder -> reason, of images that
            cannot be read; they have no item.
    """

    new: int = 0
    changed: int = 0
    vanished: int = 0
    same: int = 0
    broken: dict[str, str] = field(default_factory=dict)


def load_embedder(
    config: str | Config,
    checkpoint: str | None,
    device: str = 'cpu',
    batch_size: int = 64,
    num_workers: int = 0,
) -> tuple[Embedder, ModelIdentity]:
    """Load a model that embeds images for a store.

    Args:
        config (str | Config): Config or its path, with a ``test_dataloader``
            whose pipeline is used.
        checkpoint (str | None): The weights; None for what the model loads by
            itself.
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

    Returns:
        GalleryUpdate: What was found.

    Raises:
        FileNotFoundError: If there is no such folder.
        LaunchError: If the disk is full.
        ValueError: If the folder holds no images.
    """
    root = Path(folder).absolute()
    facts = {
        os.path.relpath(path, root).replace(os.sep, '/'): _facts(path)
        for path in list_images(root)
    }
    known = _known_facts(store)
    remembered = {
        name: told
        for name, told in store.notes.get(BROKEN, {}).items()
        if name in facts
    }
    found = GalleryUpdate()
    found.vanished = _delete(store, [x for x in known if x not in facts])
    wanted = []
    for name, fact in facts.items():
        if not is_storable(name):
            found.broken[name] = 'its name is no Unicode text'
            continue
        told = remembered.get(name)
        if told is not None and told[:2] == fact:
            found.broken[name] = told[2]
        elif known.get(name) == fact:
            found.same += 1
        else:
            wanted.append(name)
            remembered.pop(name, None)
    _embed(
        store,
        root,
        wanted,
        facts,
        known,
        remembered,
        embedder,
        found,
        flush_every,
    )
    if found.broken:
        name, reason = next(iter(found.broken.items()))
        warn(
            f'{len(found.broken)} of {len(facts)} images of "{folder}" cannot '
            f'be read and have no item, e.g. {name!r}: {reason}. Repaired '
            'ones are taken up by the next update.'
        )
    return found


def _embed(
    store: GalleryStore,
    root: Path,
    wanted: list[str],
    facts: dict[str, list[int]],
    known: dict[str, list[int]],
    remembered: dict[str, list],
    embedder: Embedder,
    found: GalleryUpdate,
    flush_every: int,
) -> None:
    """Embed images and put them in place, some flushes on the way."""
    entries = image_entries([str(root / name) for name in wanted])
    waiting = 0

    def flush() -> None:
        store.set_notes({**store.notes, BROKEN: remembered})
        store.flush()

    with progress(len(wanted), 'Embedding images of the gallery') as advance:
        for batch in embedder(entries):
            names = [wanted[index] for index in batch.indices]
            if batch.feats is not None:
                _upsert(store, root, names, facts, batch.feats)
            again = sum(name in known for name in names)
            found.changed += again
            found.new += len(names) - again
            for index, reason in batch.broken.items():
                name = wanted[index]
                warn(f'The image "{name}" is left out: {reason}.')
                found.broken[name] = reason
                remembered[name] = [*facts[name], reason]
                if name in known:  # the image it was is gone
                    store.delete([name])
            advance(len(batch))
            waiting += len(batch)
            if waiting >= flush_every:
                flush()
                waiting = 0
    flush()


def _upsert(
    store: GalleryStore,
    root: Path,
    names: list[str],
    facts: dict[str, list[int]],
    feats: Any,
) -> None:
    columns = {
        SIZE: [facts[name][0] for name in names],
        TIME: [facts[name][1] for name in names],
    }
    store.upsert(names, feats, [str(root / n) for n in names], columns)


def _known_facts(store: GalleryStore) -> dict[str, list[int]]:
    """Size and time of the items that came by an update."""
    ids = store.ids()
    columns = store.columns(ids)
    if SIZE not in columns:
        return {}
    rows = zip(ids, columns[SIZE], columns[TIME], strict=True)
    return {name: [size, at] for name, size, at in rows if size is not None}


def _delete(store: GalleryStore, names: list[str]) -> int:
    if names:
        store.delete(names)
    return len(names)


def _facts(path: str) -> list[int]:
    """Size in bytes and time of change in ns; zeros of what is absent."""
    try:
        facts = os.stat(path)
    except OSError:
        return [0, 0]
    return [facts.st_size, facts.st_mtime_ns]
