#!/usr/bin/env python
"""Pack the images of a dataset into few large files.

Many small files are slow on network and cluster disks, and a million of them
slow to copy. This packs all images of a folder, the bytes as they are:

    pack_images.py data/MALS --out data/MALS/packed
    pack_images.py data/MALS --out data/MALS/packed --format lmdb

Datasets then read them with data_prefix=dict(img_path='tar://packed'), or
'lmdb://packed'; annotations stay as they are. Tar shards that are there, such
as WebDataset's, need an index only:

    pack_images.py --index folder/of/shards
"""

import argparse

from mmtpr.utils.errors import LaunchError
from mmtpr.utils.options import add_debug, add_overwrite, at_least


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add('folder', help='images; with --index, tar shards')
    add('--out', help='folder to write')
    add('--format', choices=['tar', 'lmdb'], default='tar')
    add(
        '--shard-mib',
        type=at_least(1),
        default=1024,
        help='size of a tar shard; default 1024',
    )
    add('--index', action='store_true', help='index shards that are there')
    add_overwrite(parser)
    add_debug(parser)
    args = parser.parse_args()
    if bool(args.out) == args.index:
        parser.error('give either --out or --index')
    return args


if __name__ == '__main__':
    parse_args()  # --help and mistakes end here, before seconds of imports

from mmtpr.datasets.packed_images import index_shards, pack_lmdb, pack_tar
from mmtpr.engine import launch


def pack(args: argparse.Namespace) -> None:
    """Pack or index."""
    if args.index:
        print(f'{args.folder}: {index_shards(args.folder):,} files indexed')
        return
    try:
        if args.format == 'lmdb':
            packed = pack_lmdb(args.folder, args.out, args.overwrite)
        else:
            shard_bytes = args.shard_mib << 20
            packed = pack_tar(
                args.folder, args.out, shard_bytes, args.overwrite
            )
    except FileExistsError as error:
        raise LaunchError(
            f'{error} With --overwrite packed images are replaced.'
        ) from error
    print(
        f'{args.out}: {packed.images:,} images, '
        f'{packed.num_bytes / 1e6:,.1f} MB; {packed.others:,} other files of '
        f'{args.folder} are not packed'
    )
    print(f"data_prefix=dict(img_path='{args.format}://{args.out}')")


def main() -> None:
    """Run."""
    args = parse_args()
    with launch.short_errors():
        pack(args)


if __name__ == '__main__':
    main()
