#!/usr/bin/env python
"""R@1 and mAP of the toy set with and without paraphrases of the queries.

Each caption is said in other words by the grammar of the synthetic world; the
mean of their embeddings is added to that of the caption, with each of some
weights. On the validation and the test split of the model that ``make demo``
leaves:

    python benchmarks/paraphrases.py configs/wora_toy.py CHECKPOINT

One weight has to be chosen on the validation split; the other rows of the
test split show how much it matters.
"""

import argparse
from functools import partial

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmtpr.apis import load_retriever
from mmtpr.apis.embedding import image_embedder
from mmtpr.apis.paraphrases import add_paraphrases, paraphrase_means
from mmtpr.apis.query_embedding import embed_queries
from mmtpr.evaluation import rank_metrics, topk_similarity
from mmtpr.registry import DATASETS
from mmtpr.synthesis import reword

METRICS = ('R@1', 'R@5', 'mAP')


def parse_args():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config')
    parser.add_argument('checkpoint')
    parser.add_argument('--number', type=int, default=5, help='of paraphrases')
    parser.add_argument(
        '--weights', type=float, nargs='+', default=[0.25, 0.5, 1.0, 2.0]
    )
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args()


def split_samples(cfg, split):
    """Queries and gallery of a split."""
    dataset = DATASETS.build(cfg[f'{split}_dataloader'].dataset)
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    queries = [info for info in infos if info['role'] == 'query']
    return queries, [info for info in infos if info['role'] == 'gallery']


def evaluate(query, gallery, queries, images, topk_tokens):
    """Metrics of query vectors (Q, D)."""
    ids = [torch.tensor([x['pid'] for x in y]) for y in (queries, images)]
    return rank_metrics(topk_similarity(query, gallery, topk_tokens), *ids)


def rows(loaded, split, args):
    """One row a weight."""
    queries, images = split_samples(loaded.cfg, split)
    parts = (loaded.pipeline, loaded.collate, loaded.model)
    batches = image_embedder(*parts)(images)
    gallery = torch.cat([batch.feats for batch in batches])
    gallery = gallery[:, None] if gallery.dim() == 2 else gallery
    embed = partial(
        embed_queries,
        pipeline=parts[0],
        collate=parts[1],
        model=parts[2],
    )
    captions = [info['caption'] for info in queries]
    query = embed(captions)
    make = partial(reword, number=args.number, seed=args.seed)
    means = paraphrase_means(captions, make, embed)
    without = int((means == 0).all(1).sum())
    print(
        f'{split}: {len(queries)} queries, {without} of them without '
        f'paraphrases, {len(images)} images'
    )
    for weight in (0.0, *args.weights):
        vectors = add_paraphrases(query, weight * means) if weight else query
        found = evaluate(vectors, gallery, queries, images, loaded.topk_tokens)
        yield weight, [float(found[name]) for name in METRICS]


def main():
    """Print a table a split."""
    args = parse_args()
    cfg = Config.fromfile(args.config)
    init_default_scope(cfg.get('default_scope') or 'mmtpr')
    loaded = load_retriever(cfg, args.checkpoint)
    for split in ('val', 'test'):
        found = list(rows(loaded, split, args))
        print(f'| weight | {" | ".join(METRICS)} |')
        print(f'|---{"|---:" * len(METRICS)}|')
        for weight, values in found:
            told = ' | '.join(f'{value:.2f}' for value in values)
            print(f'| {weight or "none"} | {told} |')


if __name__ == '__main__':
    main()
