"""An epoch of Word4Per's second stage: encoding every time, and from a cache.

Trains a TINet over a frozen CLIP of random weights on random images with
captions, once with the images and captions as they are and once with
``CachedFeatureDataset``, in one process. Prints a Markdown table.

    python benchmarks/feature_cache.py [--model ViT-B-16] [--pairs 128]
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import mmcv
import numpy as np
import torch
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner

from mmtpr.registry import DATASETS, MODELS

WORDS = ('red', 'blue', 'green', 'coat', 'shirt', 'skirt', 'bag', 'shoes')


def write_pairs(root, number, size):
    """Images of noise with two captions each, in CUHK-PEDES' layout."""
    rng = np.random.default_rng(0)
    records = []
    for i in range(number // 2):
        image = rng.integers(0, 255, (*size, 3)).astype(np.uint8)
        mmcv.imwrite(image, f'{root}/imgs/{i}.jpg')
        captions = [' '.join(rng.choice(WORDS, 25)) for _ in range(2)]
        records.append(
            dict(id=i, split='train', file_path=f'{i}.jpg', captions=captions)
        )
    Path(root, 'reid_raw.json').write_text(json.dumps(records))


def dataset_cfg(root, size):
    """The pairs with their pipeline."""
    load = [
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=size[::-1], keep_ratio=False),
    ]
    return dict(
        type='mmtpr.CUHKPEDES',
        data_root=str(root),
        ann_file='reid_raw.json',
        data_prefix=dict(img_path='imgs'),
        pipeline=[
            dict(type='mmtpr.ImageTransforms', transforms=load),
            dict(type='mmtpr.TokenizeCaption'),
            dict(type='mmtpr.PackRetrievalInputs'),
        ],
    )


def epoch(model, loader, optimizer):
    """Train one epoch; gives its seconds."""
    model.train()
    start = time.perf_counter()
    for batch in loader:
        model.train_step(batch, optimizer)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def loader_of(dataset, batch_size):
    """A data loader without workers: what a core does is counted."""
    return Runner.build_dataloader(
        dict(
            batch_size=batch_size,
            num_workers=0,
            drop_last=True,
            dataset=dataset,
            sampler=dict(type='DefaultSampler', shuffle=True),
        ),
        seed=0,
    )


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--model', default='ViT-B-16')
    parser.add_argument('--size', type=int, nargs=2, default=(384, 128))
    parser.add_argument('--pairs', type=int, default=128)
    parser.add_argument('--batch-size', type=int, default=32)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--threads', type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    size = tuple(args.size)
    encoder = MODELS.build(
        dict(type='mmtpr.OpenCLIPEncoder', model=args.model, image_size=size)
    )
    model = MODELS.build(
        dict(
            type='mmtpr.ComposedPersonRetriever',
            encoder=encoder,
            query=dict(type='mmtpr.PseudoWordQuery'),
            losses=dict(text=dict(type='mmtpr.SDMLoss')),
            freeze_encoder=True,
        )
    )
    if torch.cuda.is_available():
        model.cuda()
    free = [p for p in model.parameters() if p.requires_grad]
    optimizer = OptimWrapper(torch.optim.AdamW(free, lr=1e-4))
    with tempfile.TemporaryDirectory() as root:
        write_pairs(root, args.pairs, size)
        plain = DATASETS.build(dataset_cfg(root, size))
        start = time.perf_counter()
        cached = DATASETS.build(
            dict(
                type='mmtpr.CachedFeatureDataset',
                dataset=plain,
                encoder=encoder,
                cache=f'{root}/cache',
            )
        )
        made = time.perf_counter() - start
        loaders = {
            'encoding every time': loader_of(plain, args.batch_size),
            'from the cache': loader_of(cached, args.batch_size),
        }
        times = {name: [] for name in loaders}
        for _ in range(args.rounds):
            for name, loader in loaders.items():
                times[name].append(epoch(model, loader, optimizer))
    print(
        f'torch {torch.__version__}, {args.threads} threads, {args.model} at '
        f'{size[0]}x{size[1]}, {args.pairs} pairs, batch {args.batch_size}\n'
    )
    print('| epoch | best s | median s |\n|---|---:|---:|')
    for name, found in times.items():
        median = statistics.median(found)
        print(f'| {name} | {min(found):.3f} | {median:.3f} |')
    slow, fast = (min(found) for found in times.values())
    print(f'\n{slow / fast:.1f}x as fast; making the cache took {made:.2f} s')


if __name__ == '__main__':
    main()
