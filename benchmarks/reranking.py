"""Matching scores in batches, against one query at a time.

The plain form is that of the releases: for each query its text states are
repeated for every candidate, padding included, and all layers of the cross
encoder run for all tokens and read the candidates' tokens anew. Both forms
start from the tokens of the images and the ids of the captions. Prints a
Markdown table; times are the best and the median of interleaved rounds in one
process; the greatest difference of the scores is checked.

The model is APTM's (six text layers and six cross layers of BERT, 49 image
tokens, 56 text tokens), narrower; it needs the extra [blip2]. Captions are
about as long as those of CUHK-PEDES (23.5 words on average, its paper says),
or all of full length, so that nothing is gained by leaving out padding.

    python benchmarks/reranking.py [--rounds 3] [--threads 2] [--width 384]
"""

import argparse
import statistics
import time

import torch

from mmtpr.evaluation import PairScorer
from mmtpr.models.retrievers import CrossModalPersonRetriever

LAYERS, GRID, TEXT_LENGTH, VOCABULARY = 6, (12, 4), 56, 1000
HEAD_DIM, SWIN_HEADS = 64, [1, 2, 4, 8]
CASES = {'usual lengths': (30, 9), 'full length': (TEXT_LENGTH, 0)}


def make_data(case, args):
    """Image tokens, ids and masks of captions, candidates."""
    generator = torch.Generator().manual_seed(0)
    width = args.width * 4 // 3
    tokens = GRID[0] * GRID[1] + 1
    images = torch.randn(args.gallery, tokens, width, generator=generator)
    mean, spread = CASES[case]
    lengths = torch.randn(args.queries, generator=generator) * spread + mean
    lengths = lengths.round().clamp(12, TEXT_LENGTH)
    mask = (torch.arange(TEXT_LENGTH) < lengths[:, None]).long()
    ids = torch.randint(1, VOCABULARY, mask.shape, generator=generator) * mask
    order = torch.rand(args.queries, args.gallery, generator=generator)
    return images, ids, mask, order.argsort(1)[:, : args.candidates]


def build(width):
    """APTM's model with random weights, ``width`` in place of 768."""
    swin = dict(
        embed_dims=width // 6, depths=[1, 1, 1, 1], num_heads=SWIN_HEADS
    )
    bert = dict(
        hidden_size=width,
        num_hidden_layers=2 * LAYERS,
        num_attention_heads=width // HEAD_DIM,
        intermediate_size=4 * width,
        vocab_size=VOCABULARY,
    )
    encoder = dict(
        type='mmtpr.SwinBertEncoder',
        image=dict(arch=swin),
        text=bert,
        fusion_layer=LAYERS,
    )
    return CrossModalPersonRetriever(encoder).eval()


@torch.no_grad()
def plain(model, data, args):
    """One query at a time with repeated states."""
    images, ids, mask, index = data
    size = args.text_batch
    states = [
        model.encode_text(ids[i : i + size], mask[i : i + size])[1]
        for i in range(0, len(ids), size)
    ]
    states = torch.cat(states)
    scores = torch.empty(index.shape)
    for row, candidates in enumerate(index):
        number = len(candidates)
        fused = model.encoder.fuse(
            states[row].repeat(number, 1, 1),
            mask[row].repeat(number, 1),
            model.image_keys_values(images[candidates]),
        )
        scores[row] = model.encoder.match(fused)[:, 1]
    return scores


def ours(model, data, args):
    """The form in mmtpr."""
    images, ids, mask, index = data
    scorer = PairScorer(
        model, pair_batch=args.pair_batch, text_batch=args.text_batch
    )
    return scorer(images, ids, mask, index)


VARIANTS = {'one query at a time': plain, 'mmtpr': ours}


def times_of(model, data, args):
    """Seconds of each variant, interleaved; compares the scores."""
    times = {name: [] for name in VARIANTS}
    scores = {}
    for _ in range(args.rounds):
        for name, function in VARIANTS.items():
            start = time.perf_counter()
            scores[name] = function(model, data, args)
            times[name].append(time.perf_counter() - start)
    first, second = scores.values()
    difference = float((first - second).abs().max())
    assert difference < 1e-5, difference
    return times, difference


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--queries', type=int, default=16)
    parser.add_argument('--gallery', type=int, default=256)
    parser.add_argument('--candidates', type=int, default=128)
    parser.add_argument('--width', type=int, default=384)
    parser.add_argument('--pair-batch', type=int, default=128)
    parser.add_argument('--text-batch', type=int, default=256)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = build(args.width)
    print(f'torch {torch.__version__}, {args.threads} threads, CPU\n')
    print('| captions | mean tokens | form | best s | median s | pairs/s |')
    print('|---|---:|---|---:|---:|---:|')
    lines = []
    for case in CASES:
        data = make_data(case, args)
        times, difference = times_of(model, data, args)
        mean = float(data[2].sum(1).float().mean())
        for name, own in times.items():
            print(
                f'| {case} | {mean:.1f} | {name} | {min(own):.3f} '
                f'| {statistics.median(own):.3f} '
                f'| {data[3].numel() / min(own):,.0f} |',
                flush=True,
            )
        before, after = (min(own) for own in times.values())
        lines.append(
            f'- {case}: {before / after:.2f}x as fast, scores differ by at '
            f'most {difference:.1e}'
        )
    print('\n' + '\n'.join(lines))


if __name__ == '__main__':
    main()
