#!/usr/bin/env python
"""Keep the embeddings of a folder of images in a store.

    gallery.py build  STORE FOLDER CONFIG CHECKPOINT   make a store
    gallery.py update STORE FOLDER CONFIG CHECKPOINT   follow the folder
    gallery.py info   STORE                            what is in it
    gallery.py verify STORE                            read all of it
    gallery.py compact STORE                           give room back

In place of CONFIG and CHECKPOINT goes the folder of an exported model
(tools/model_converters/export_onnx.py). An update embeds only images
that are new or changed, told by path, size and time, or with --hash by their
content. One that is killed goes on where it was. --columns brings a table of
further columns. Needs the extra [search].
"""

import argparse
from pathlib import Path

from mmtpr.utils.errors import LaunchError
from mmtpr.utils.options import add_config_options, add_debug, at_least

ROOT = Path(__file__).resolve().parents[1]


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest='command', required=True)
    for name in ('build', 'update'):
        command = commands.add_parser(name)
        command.add_argument('store', help='folder of the store')
        command.add_argument('folder', help='images, also in folders below')
        command.add_argument(
            'config', help='config of the model, or a folder it was saved to'
        )
        command.add_argument(
            'checkpoint', nargs='?', help='weights of a model by a config'
        )
        _add_embedding_options(command)
    for name in ('info', 'verify', 'compact'):
        command = commands.add_parser(name)
        command.add_argument('store', help='folder of the store')
        add_debug(command)
    return parser.parse_args()


def _add_embedding_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        '--batch-size',
        type=at_least(1),
        default=64,
        help='images embedded at a time; default 64',
    )
    command.add_argument(
        '--num-workers',
        type=at_least(0),
        default=2,
        help='processes that read images; default 2',
    )
    command.add_argument(
        '--hash',
        action='store_true',
        help='read all images and tell changed ones by their content',
    )
    command.add_argument(
        '--columns',
        metavar='FILE',
        help='.csv or .parquet with a column "path" (in FOLDER, or absolute) '
        'and any others, such as camera or time',
    )
    command.add_argument(
        '--missing-rows',
        choices=('error', 'null'),
        default='error',
        help='images without a row in --columns: stop (error, the default), '
        'or let them keep the values that they have, if any (null)',
    )
    add_config_options(command)


if __name__ == '__main__':
    parse_args()  # --help and mistakes end here, before seconds of imports

from mmengine.device import get_device
from mmengine.registry import init_default_scope

from mmtpr.apis import (
    ColumnTable,
    load_embedder,
    read_source,
    update_gallery,
)
from mmtpr.engine import launch
from mmtpr.gallery import FaissStore
from mmtpr.gallery.manifest import NAME


def follow(args: argparse.Namespace) -> None:
    """Build or update."""
    there = Path(args.store, NAME).exists()
    if there and args.command == 'build' and len(FaissStore(args.store)):
        raise LaunchError(
            f'The store "{args.store}" exists: update it, or name another.'
        )
    if not there and args.command == 'update':
        raise LaunchError(
            f'There is no store "{args.store}" to update: build it.'
        )
    table = ColumnTable.read(args.columns) if args.columns else None
    if Path(args.config).is_dir():
        cfg = read_source(args.config, args.checkpoint, args.cfg_options)
    else:
        cfg = launch.load_config(args.config, args.cfg_options, ROOT)
    init_default_scope(cfg.get('default_scope') or 'mmtpr')
    embedder, identity = load_embedder(
        cfg, args.checkpoint, get_device(), args.batch_size, args.num_workers
    )
    with FaissStore(args.store, identity, write=True) as store:
        found = update_gallery(
            store,
            args.folder,
            embedder,
            by_content=args.hash,
            columns=table,
            missing_rows=args.missing_rows,
        )
        number = len(store)
    print(
        f'{args.store}: {number:,} images; {found.new:,} new, '
        f'{found.changed:,} changed, {found.vanished:,} vanished, '
        f'{found.same:,} as they were ({found.rewritten:,} with other '
        f'columns), {len(found.broken):,} broken'
    )


def info(args: argparse.Namespace) -> None:
    """Say what is in a store."""
    store = FaissStore(args.store)
    vectors, dim = store.shape
    print(f'images      {len(store):,}')
    print(f'vectors     {vectors} of {dim} numbers an image')
    for name, value in store.identity.to_dict().items():
        print(f'{name:<11} {value}')
    for name, kind in store.column_kinds.items():
        print(f'column      {name} ({kind})')
    size = sum(path.stat().st_size for path in store.folder.iterdir())
    print(f'on disk     {size / 1e6:,.1f} MB')


def verify(args: argparse.Namespace) -> None:
    """Read all of a store."""
    store = FaissStore(args.store)
    damage = store.verify()
    if damage:
        raise LaunchError(
            f'The store "{args.store}" is damaged: {"; ".join(damage)}.'
        )
    print(f'{args.store}: {len(store):,} images, nothing is damaged')


def compact(args: argparse.Namespace) -> None:
    """Give the room of deleted images back."""
    with FaissStore(args.store, write=True) as store:
        store.compact()
        print(f'{args.store}: {len(store):,} images in one part')


def main() -> None:
    """Run."""
    args = parse_args()
    with launch.short_errors():
        if (
            args.command in ('compact', 'verify', 'info')
            and not Path(args.store, NAME).exists()
        ):
            raise LaunchError(f'"{args.store}" holds no gallery store.')
        runs = dict(info=info, verify=verify, compact=compact)
        runs.get(args.command, follow)(args)


if __name__ == '__main__':
    main()
