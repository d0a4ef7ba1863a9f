#!/usr/bin/env python
r"""Write the towers of a retriever as ONNX.

    python tools/model_converters/export_onnx.py CONFIG CHECKPOINT FOLDER \
        --images photos/ --sentences sentences.txt

FOLDER gets image.onnx and text.onnx (query.onnx of a model whose queries are
an image with a sentence), tokenizer.json, and model.json: how images and
captions are prepared, whose weights these are, what was compared. Adapters
are merged. Nothing is written unless each vector has a cosine of 0.9999 with
that of the torch model, on random and on real inputs: those named here, or
the test data of the config. PersonRetrievalInferencer and tools/gallery.py
take FOLDER in place of CONFIG and CHECKPOINT. Needs the extra [onnx].
"""

import argparse
from pathlib import Path

from mmtpr.utils.options import (
    add_allow_partial,
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
    parser.add_argument('config', help='config of the model')
    parser.add_argument('checkpoint', help='weights of the model')
    parser.add_argument('folder', help='folder to write')
    parser.add_argument(
        '--opset',
        type=at_least(18),
        default=18,
        help="version of ONNX's operators; default 18",
    )
    parser.add_argument(
        '--images', help='folder of images to compare the vectors of'
    )
    parser.add_argument(
        '--sentences', help='.txt, a sentence a line, or .json with captions'
    )
    parser.add_argument(
        '--number',
        type=at_least(1),
        default=32,
        help='images, and sentences, that are compared; default 32',
    )
    add_allow_partial(parser)
    add_config_options(parser)
    return parser.parse_args()


if __name__ == '__main__':
    parse_args()  # --help and mistakes end here, before seconds of imports

from mmengine.registry import init_default_scope

from mmtpr.apis import build_source, list_images
from mmtpr.converters.adapted_models import refuse_broken_weights
from mmtpr.engine import launch
from mmtpr.export import dataset_inputs, export_onnx, given_inputs
from mmtpr.filtering.bank import read_captions
from mmtpr.utils.errors import LaunchError


def real_inputs(args, model, cfg):
    """Images and sentences of the command line, or of the config."""
    if not args.images and not args.sentences:
        return dataset_inputs(model, cfg, args.number)
    if not args.images or not args.sentences:
        raise LaunchError('--images and --sentences go together.')
    images = list_images(args.images)[: args.number]
    captions = read_captions(args.sentences, 'file of sentences')
    return given_inputs(model, cfg, images, captions[: args.number])


def main() -> None:
    """Export."""
    args = parse_args()
    with launch.short_errors():
        folder = Path(args.folder)
        check_output_folder(folder)
        cfg = launch.load_config(args.config, args.cfg_options, ROOT)
        init_default_scope(cfg.get('default_scope') or 'mmtpr')
        model = build_source(cfg, args.checkpoint, 'cpu', args.allow_partial)
        refuse_broken_weights(model, args.checkpoint)
        real = real_inputs(args, model, cfg)
        card = export_onnx(model, cfg, real, folder, args.opset)
        print(f'Compared with the torch model on {real.source}:')
        for tower in card['towers'].values():
            told = ', '.join(
                f'{value:.7f} ({kind}, {tower["compared"][kind]} inputs)'
                for kind, value in tower['least_cosine'].items()
            )
            print(f'{folder / tower["file"]}: least cosine {told}')


if __name__ == '__main__':
    main()
