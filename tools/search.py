#!/usr/bin/env python
"""Search a gallery store by a sentence, by a photo with one, or by many.

    search.py CONFIG CHECKPOINT STORE 'a woman in a red coat'
    search.py CONFIG CHECKPOINT STORE 'now in blue' --image her.jpg
    search.py CONFIG CHECKPOINT STORE 'in a coat' --without 'a red coat'
    search.py CONFIG CHECKPOINT STORE --queries queries.csv --out found.html
    search.py ... --where "camera == 3 and time > '2024-05-01'"

STORE is made by tools/gallery.py with the same config and checkpoint. What is
found is printed; --out writes it too, as the ending says: .json, .csv, .png,
or .html, one page with its images inside. Needs the extra [search].
"""

import argparse
import io
import sys
from pathlib import Path

from mmtpr.utils.options import (
    add_allow_partial,
    add_config_options,
    add_overwrite,
    add_retriever,
    at_least,
    check_output,
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
    parser.add_argument('sentence', nargs='?', help='what to look for')
    parser.add_argument(
        '--image',
        action='append',
        help='photo that the sentence changes, of composed models; may be '
        'repeated for several photos of one person',
    )
    parser.add_argument(
        '--without',
        metavar='SENTENCE',
        help='what is not wanted, e.g. "a red jacket"',
    )
    parser.add_argument(
        '--without-weight',
        type=float,
        help='of what is not wanted beside the query; default 0.5',
    )
    parser.add_argument(
        '--queries',
        metavar='FILE',
        help='.txt (a sentence a line), .csv or .jsonl (caption, img_path)',
    )
    _add_search_options(parser)
    _add_paraphrase_options(parser)
    parser.add_argument(
        '--out', help='file to write: .json, .csv, .png or .html'
    )
    add_overwrite(parser)
    add_allow_partial(parser)
    add_config_options(parser)
    args = parser.parse_args()
    if (args.sentence is None) == (args.queries is None):
        parser.error('give a sentence, or --queries FILE')
    if args.image is not None and args.sentence is None:
        parser.error('--image goes with a sentence')
    if args.without is not None and args.sentence is None:
        parser.error('--without goes with a sentence')
    if args.without_weight is not None and args.without is None:
        parser.error('--without-weight goes with --without')
    if args.paraphrase and args.paraphrases:
        parser.error('give --paraphrase or --paraphrases')
    said = args.paraphrase or args.paraphrases
    if args.paraphrase_weight is not None and not said:
        parser.error('--paraphrase-weight goes with paraphrases')
    if args.image is None and args.queries is None and args.exclude_reference:
        parser.error('--exclude-reference goes with --image or --queries')
    return args


def _add_search_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '-k',
        type=at_least(1),
        default=10,
        help='images to find; default 10',
    )
    parser.add_argument(
        '--where',
        help='filter on columns, e.g. "camera == 3 and time > \'2024-05-01\'"',
    )
    parser.add_argument(
        '--exact',
        action='store_true',
        help='compare with all images, not with candidates',
    )
    parser.add_argument(
        '--certify',
        action='store_true',
        help='find out how many places --exact would not change',
    )
    parser.add_argument(
        '--candidates',
        type=at_least(1),
        default=1000,
        help='images that are compared without --exact; default 1000',
    )
    parser.add_argument(
        '--exclude-reference',
        action='store_true',
        help='leave the photo of a query out of what is found for it',
    )


def _add_paraphrase_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--paraphrase',
        action='append',
        metavar='SENTENCE',
        help='other words for the sentence; may be repeated',
    )
    parser.add_argument(
        '--paraphrases',
        metavar='FILE',
        help='.txt for one sentence, .csv or .jsonl (caption, paraphrase)',
    )
    parser.add_argument(
        '--paraphrase-weight',
        type=float,
        help="of the paraphrases' mean beside the query; default 1",
    )


if __name__ == '__main__':
    parse_args()  # --help and mistakes end here, before seconds of imports

from mmengine.device import get_device

from mmtpr.apis import GallerySearcher
from mmtpr.apis.query_files import read_paraphrases, read_queries
from mmtpr.apis.search_output import (
    check_ending,
    format_table,
    write_results,
)
from mmtpr.engine import launch
from mmtpr.engine.tool_retriever import check_retriever, load_tool_retriever
from mmtpr.gallery import FaissStore, parse_where


def run(args: argparse.Namespace) -> None:
    """Search.

    Args:
        args (Namespace): The command line.

    Raises:
        LaunchError: If nothing can be written.
    """
    if args.out is not None:
        check_ending(args.out)
        sources = (args.queries, *(args.image or ()), args.paraphrases)
        check_output(args.out, args.overwrite, sources)
    if args.where is not None:
        parse_where(args.where)
    queries = args.sentence
    if args.queries is not None:
        queries = read_queries(args.queries)
    else:
        parts = dict(
            img_path=args.image,
            negative_text=args.without,
            negative_weight=args.without_weight,
        )
        parts = {k: v for k, v in parts.items() if v is not None}
        queries = dict(parts, caption=args.sentence) if parts else queries
    said, weight = args.paraphrase, args.paraphrase_weight
    if args.paraphrases is not None:
        said = read_paraphrases(args.paraphrases)
    store = FaissStore(args.store)
    loaded = load_tool_retriever(args, get_device(), ROOT)
    found = GallerySearcher(loaded, store)(
        queries,
        k=args.k,
        where=args.where,
        exact=args.exact,
        certify=args.certify,
        candidates=args.candidates,
        exclude_reference=args.exclude_reference,
        paraphrases=said,
        paraphrase_weight=1.0 if weight is None else weight,
    )
    print(format_table(found))
    if args.out is not None:
        about = f'The best of {len(store):,} images of {store.name}.'
        if args.where is not None:
            about += f' Only those with {args.where}.'
        write_results(found, args.out, about)
        print(f'Wrote {args.out}')


def main() -> None:
    """Run."""
    args = parse_args()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A console that lacks a character shows its number.
        sys.stdout.reconfigure(errors='backslashreplace')
    with launch.short_errors():
        check_retriever(args)
        run(args)


if __name__ == '__main__':
    main()
