#!/usr/bin/env python
"""Serve a page on which people search a gallery store.

    serve.py CONFIG CHECKPOINT STORE
    serve.py CONFIG CHECKPOINT STORE --host 0.0.0.0 --auth anna:password.txt

A sentence, with composed models a photo too, filters on columns, pages of
results, and votes, which go to a file for a later training. The same as a
JSON API, for gradio_client. Only this machine reaches the page unless --host
says otherwise; it loads nothing from other hosts and shows images of the
gallery only. STORE is made by tools/gallery.py with the same config and
checkpoint. Needs the extras [search] and [demo].
"""

import argparse
import signal
from pathlib import Path

from mmtpr.utils.options import (
    add_allow_partial,
    add_config_options,
    add_retriever,
    at_least,
)

ROOT = Path(__file__).resolve().parents[1]


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_retriever(parser)
    parser.add_argument('store', help='folder of the store')
    _add_server_options(parser)
    parser.add_argument(
        '--images',
        action='append',
        metavar='FOLDER',
        help='folder in which images may lie; may be repeated; default: the '
        'one that the store was made of',
    )
    parser.add_argument(
        '--votes',
        metavar='FILE',
        help='.jsonl that votes are added to; default: STORE_votes.jsonl '
        'beside the store',
    )
    parser.add_argument(
        '--no-votes', action='store_true', help='keep no votes'
    )
    parser.add_argument(
        '--page-size',
        type=at_least(1),
        default=10,
        help='images on a page; default 10',
    )
    add_allow_partial(parser)
    add_config_options(parser)
    args = parser.parse_args()
    if args.votes is not None and args.no_votes:
        parser.error('give --votes or --no-votes')
    return args


def _add_server_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--host',
        default='127.0.0.1',
        help='where to listen; default 127.0.0.1, only this machine',
    )
    parser.add_argument(
        '--port',
        type=at_least(1),
        help='default: the first that is free from 7860 on',
    )
    parser.add_argument(
        '--auth',
        metavar='USER:FILE',
        help='ask for a login; the file holds the password',
    )
    parser.add_argument(
        '--max-upload',
        type=at_least(1),
        default=20,
        metavar='MB',
        help='size of a photo that users bring; default 20 MB',
    )


if __name__ == '__main__':
    parse_args()  # --help and mistakes end here, before seconds of imports

from mmengine.device import get_device

from mmtpr.apis import GallerySearcher
from mmtpr.engine import launch
from mmtpr.engine.tool_retriever import check_retriever, load_tool_retriever
from mmtpr.gallery import FaissStore
from mmtpr.page import (
    GalleryImages,
    PageSearch,
    VoteFile,
    read_login,
    served_page,
)
from mmtpr.page.layout import gradio


def make_search(args: argparse.Namespace) -> PageSearch:
    """Load model and gallery.

    Args:
        args (Namespace): The command line.

    Returns:
        PageSearch: What the page does.
    """
    store = FaissStore(args.store)
    images = GalleryImages(store, args.images)
    votes = None
    if not args.no_votes:
        folder = Path(args.store).absolute()
        beside = folder.with_name(f'{folder.name}_votes.jsonl')
        votes = VoteFile(args.votes or beside)
    loaded = load_tool_retriever(args, get_device(), ROOT)
    searcher = GallerySearcher(loaded, store, sentences_alone=True)
    return PageSearch(searcher, images, votes, args.page_size)


def main() -> None:
    """Run until the user stops it."""
    args = parse_args()
    # Whatever ends the page, the photos that were uploaded go with it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with launch.short_errors():
        check_retriever(args)
        gradio()
        login = read_login(args.auth) if args.auth is not None else None
        search = make_search(args)
        with served_page(
            search, args.host, args.port, login, args.max_upload
        ) as page:
            print(f'The page: {page.local_url} (Ctrl-C stops it)', flush=True)
            if search.votes is not None:
                print(f'Votes go to {search.votes.path}', flush=True)
            page.block_thread()


if __name__ == '__main__':
    main()
