"""Images and sentences a second: torch against onnxruntime.

A text-based retriever is exported, which compares it with the torch model,
and both embed the same batches in one process, with as many threads. Rounds
are interleaved: each engine runs once a round, the first one taking turns.
Prints a Markdown table with the median and the best of the rounds, the least
cosine between the vectors of both, and the size of the files. Weights are
random, as speed does not depend on them. Needs the extra [onnx].

    python benchmarks/export.py [--model ViT-B-16] [--rounds 7] [--threads 2]
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmtpr.export import RealInputs, export_onnx, load_onnx
from mmtpr.registry import MODELS

SENTENCE = 'A woman in a red coat and blue jeans carries a black bag.'


def parse_args():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--model', default='ViT-B-16-quickgelu')
    parser.add_argument('--height', type=int, default=384)
    parser.add_argument('--width', type=int, default=128)
    parser.add_argument('--batches', type=int, nargs='+', default=[1, 16])
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--threads', type=int, default=2)
    return parser.parse_args()


def make_model(args):
    """A retriever with random weights, and its config."""
    pipeline = [
        dict(type='mmtpr.TokenizeCaption', tokenizer=args.model),
        dict(type='mmtpr.PackRetrievalInputs'),
    ]
    encoder = dict(
        type='mmtpr.OpenCLIPEncoder',
        model=args.model,
        image_size=(args.height, args.width),
    )
    cfg = Config(
        dict(
            model=dict(type='mmtpr.TextPersonRetriever', encoder=encoder),
            test_dataloader=dict(dataset=dict(pipeline=pipeline)),
        )
    )
    torch.manual_seed(0)
    return MODELS.build(cfg.model).eval(), cfg


def make_inputs(cfg, args, number):
    """Normalised images, and token ids of sentences of usual length."""
    from mmtpr.text.clip_tokenizer import build_tokenizer

    generator = torch.Generator().manual_seed(0)
    size = number, 3, args.height, args.width
    images = torch.randn(size, generator=generator)
    captions = [f'{SENTENCE} Number {index}.' for index in range(number)]
    tokens = build_tokenizer(args.model)(captions)
    return dict(image=images, tokens=tokens), captions


@torch.inference_mode()
def timed(call, inputs):
    """Seconds of one call."""
    start = time.perf_counter()
    call(inputs)
    return time.perf_counter() - start


def measure(calls, inputs, rounds):
    """Seconds of each engine in each round."""
    seconds = {name: [] for name in calls}
    for call in calls.values():
        timed(call, inputs)  # warms up
    for number in range(rounds):
        order = list(calls) if number % 2 else [*calls][::-1]
        for name in order:
            seconds[name].append(timed(calls[name], inputs))
    return seconds


def sides(model, exported):
    """What embeds, by side and engine."""
    text = exported._towers['text']
    return dict(
        image=dict(
            torch=model.extract_image_feat,
            onnxruntime=exported.extract_image_feat,
        ),
        tokens=dict(
            torch=model.extract_text_feat,
            onnxruntime=lambda tokens: text.run((tokens,))[0],
        ),
    )


def main():
    """Export, measure and print."""
    args = parse_args()
    torch.set_num_threads(args.threads)
    init_default_scope('mmtpr')
    model, cfg = make_model(args)
    inputs, captions = make_inputs(cfg, args, max(args.batches))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, 'onnx')
        real = RealInputs(inputs, captions, 'random images')
        card = export_onnx(model, cfg, real, place)
        exported = load_onnx(place)
        size = sum(facts['bytes'] for facts in card['files'].values())
        print(f'torch {torch.__version__}, {card["versions"]}')
        print(f'{args.model}, {args.threads} threads, {size / 1e6:,.0f} MB')
        for name, tower in card['towers'].items():
            print(f'{name}: least cosine {tower["least_cosine"]}')
        print('\n| side | batch | engine | a second, median | best |')
        print('| --- | --- | --- | --- | --- |')
        for side, calls in sides(model, exported).items():
            for batch in args.batches:
                part = inputs[side][:batch]
                for name, seconds in measure(calls, part, args.rounds).items():
                    middle = batch / statistics.median(seconds)
                    best = batch / min(seconds)
                    print(
                        f'| {side} | {batch} | {name} | {middle:.1f} | '
                        f'{best:.1f} |',
                        flush=True,
                    )


if __name__ == '__main__':
    main()
