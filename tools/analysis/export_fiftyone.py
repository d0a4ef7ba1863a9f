#!/usr/bin/env python
"""Write a dataset or a gallery in the import format of FiftyOne.

    python tools/analysis/export_fiftyone.py SOURCE OUT [--checkpoint FILE]

SOURCE is a config, whose test data are taken, or a store of tools/gallery.py.
OUT gets samples.json with paths, captions, ids and, of a store or with
--checkpoint, embeddings, and metadata.json. Images stay where they are.
FiftyOne is not needed here; there it is

    import fiftyone
    kind = fiftyone.types.FiftyOneDataset
    fiftyone.Dataset.from_dir('OUT', dataset_type=kind)
"""

import argparse
from pathlib import Path

from mmtpr.utils.errors import LaunchError
from mmtpr.utils.options import (
    add_config_options,
    at_least,
    check_output_folder,
)

ROOT = Path(__file__).resolve().parents[2]


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('source', help='a config, or the folder of a store')
    parser.add_argument('out', help='folder to write')
    parser.add_argument(
        '--dataset',
        default='test_dataloader.dataset',
        metavar='KEY',
        help='dotted key of the dataset in the config; default %(default)s',
    )
    parser.add_argument(
        '--checkpoint',
        help='weights of the model of the config, or the folder of an '
        'exported model: embed the images',
    )
    parser.add_argument(
        '--batch-size',
        type=at_least(1),
        default=64,
        help='images embedded at a time; default 64',
    )
    parser.add_argument(
        '--num-workers',
        type=at_least(0),
        default=2,
        help='processes that read images; default 2',
    )
    add_config_options(parser)
    return parser.parse_args()


if __name__ == '__main__':
    parse_args()  # --help and mistakes end here, before seconds of imports

from mmengine.device import get_device
from mmengine.registry import init_default_scope

from mmtpr.apis import load_embedder
from mmtpr.apis.embedding import image_entries
from mmtpr.engine import launch
from mmtpr.export.fiftyone import (
    dataset_records,
    pooled,
    record_samples,
    store_samples,
    write_fiftyone,
)
from mmtpr.registry import DATASETS
from mmtpr.utils.config_parts import get_setting
from mmtpr.utils.progress import progress
from mmtpr.utils.warn import warn


def of_store(args):
    """Samples of a store, and what it is."""
    from mmtpr.gallery import FaissStore
    from mmtpr.gallery.manifest import NAME

    if not Path(args.source, NAME).exists():
        raise LaunchError(
            f'"{args.source}" is a folder without a gallery store.'
        )
    if args.checkpoint or args.cfg_options:
        raise LaunchError(
            'A store has its embeddings: leave --checkpoint and --cfg-options '
            'out.'
        )
    store = FaissStore(args.source)
    info = dict(source=args.source, **store.identity.to_dict())
    return store_samples(store), info


def of_config(args):
    """Samples of the dataset of a config, and what it is."""
    cfg = launch.load_config(args.source, args.cfg_options, ROOT)
    init_default_scope(cfg.get('default_scope') or 'mmtpr')
    dataset = DATASETS.build(get_setting(cfg, args.dataset))
    records = dataset_records(dataset)
    info = dict(source=args.source, dataset=type(dataset).__name__)
    if not args.checkpoint:
        return record_samples(records), info
    whole = Path(args.checkpoint).is_dir()
    embedder, identity = load_embedder(
        *((args.checkpoint, None) if whole else (cfg, args.checkpoint)),
        *(get_device(), args.batch_size, args.num_workers),
    )
    feats = embedded(embedder, [record.path for record in records])
    return record_samples(records, feats), info | identity.to_dict()


def embedded(embedder, paths):
    """Vectors of images by their index; broken ones are named."""
    feats, broken = {}, {}
    with progress(len(paths), 'Embedding images') as advance:
        for batch in embedder(image_entries(paths)):
            if batch.feats is not None:
                rows = pooled(batch.feats)
                feats.update(zip(batch.indices, rows, strict=True))
            broken.update(batch.broken)
            advance(len(batch))
    if broken:
        index, reason = next(iter(broken.items()))
        warn(
            f'{len(broken)} of {len(paths)} images cannot be read and have no '
            f'embedding, e.g. "{paths[index]}": {reason}.'
        )
    return feats


def main() -> None:
    """Write."""
    args = parse_args()
    with launch.short_errors():
        out = Path(args.out)
        check_output_folder(out)
        take = of_store if Path(args.source).is_dir() else of_config
        samples, info = take(args)
        number = write_fiftyone(out, samples, info)
        print(f'{out}: {number:,} images')


if __name__ == '__main__':
    main()
