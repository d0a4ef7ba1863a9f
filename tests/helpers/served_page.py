"""A gallery with a page, small."""

import socket
import struct
import zlib
from contextlib import ExitStack, contextmanager

from gallery_model import (
    write_composed_model,
    write_image,
    write_model,
    write_store,
)

from mmtpr.apis import GallerySearcher
from mmtpr.gallery import FaissStore
from mmtpr.page import GalleryImages, PageSearch, VoteFile, served_page
from mmtpr.utils.errors import LaunchError

NUMBER = 25


def write_gallery(folder, composed=False):
    """A store of 25 images of other colours, and its retriever."""
    for number in range(NUMBER):
        colour = (10 * number, 255 - 10 * number, (37 * number) % 256)
        write_image(folder / f'photos/{number:02d}.png', colour)
    write = write_composed_model if composed else write_model
    model = write(folder / 'model')
    return write_store(folder / 'store', folder / 'photos', model)


def page_search(folder, retriever, **kwargs):
    """What a page does, with votes in ``votes.jsonl``."""
    store = FaissStore(folder / 'store')
    return PageSearch(
        GallerySearcher(retriever, store, sentences_alone=True),
        GalleryImages(store),
        VoteFile(folder / 'votes.jsonl'),
        **kwargs,
    )


def free_port():
    """A port that is free now."""
    with socket.socket() as place:
        place.bind(('127.0.0.1', 0))
        return place.getsockname()[1]


@contextmanager
def page_on_free_port(search, **kwargs):
    """Serve; another process may be quicker to take a port."""
    with ExitStack() as stack:
        for tries_left in (4, 3, 2, 1, 0):
            page = served_page(search, port=free_port(), **kwargs)
            try:
                served = stack.enter_context(page)
                break
            except LaunchError:
                if not tries_left:
                    raise
        yield served


def write_head(path, width, height):
    """A PNG that says how large it is, and holds nothing."""
    head = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    with open(path, 'wb') as file:
        file.write(b'\x89PNG\r\n\x1a\n')
        for kind, data in ((b'IHDR', head), (b'IDAT', b''), (b'IEND', b'')):
            file.write(struct.pack('>I', len(data)) + kind + data)
            file.write(struct.pack('>I', zlib.crc32(kind + data)))
