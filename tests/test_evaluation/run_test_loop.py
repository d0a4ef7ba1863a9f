"""The ordinary test loop with PersonRetrievalMetric, as one of N processes.

Usage: run_test_loop.py RANK WORLD_SIZE FOLDER. Rank 0 writes numbers.json.
"""

import json
import sys
from pathlib import Path

import torch
from mmengine.dataset import BaseDataset
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS
from mmengine.runner import Runner

from mmtpr.structures import RetrievalDataSample

NUM_IDS, NUM_QUERIES, NUM_GALLERY, TOKENS, DIM = 9, 41, 50, 3, 16


@DATASETS.register_module()
class ToyRetrieval(BaseDataset):
    """Queries, then gallery; the sample knows its place."""

    def load_data_list(self):
        queries = [
            dict(role='query', pid=i % NUM_IDS, caption=f'query {i}')
            for i in range(NUM_QUERIES)
        ]
        gallery = [
            dict(role='gallery', pid=i % NUM_IDS, img_path=f'{i}.jpg')
            for i in range(NUM_GALLERY)
        ]
        return queries + gallery

    def prepare_data(self, idx):
        sample = RetrievalDataSample(metainfo=self.get_data_info(idx))
        return dict(inputs=torch.tensor([idx]), data_samples=sample)


@MODELS.register_module()
class ToyRetriever(BaseModel):
    """Features from the place of a sample; some of them equal."""

    def forward(self, inputs, data_samples=None, mode='tensor'):
        assert mode == 'predict'
        for index, sample in zip(inputs, data_samples, strict=True):
            shape = (DIM,) if sample.role == 'query' else (TOKENS, DIM)
            generator = torch.Generator().manual_seed(int(index) % 70)
            features = torch.randn(*shape, generator=generator)
            features[..., sample.pid] += 1
            sample.features = features
        return data_samples


def main(rank, world_size, folder):
    torch.set_num_threads(1)
    if world_size > 1:
        torch.distributed.init_process_group(
            'gloo',
            init_method=f'file://{folder}/rendezvous',
            rank=rank,
            world_size=world_size,
        )
    runner = Runner(
        model=dict(type='ToyRetriever'),
        work_dir=str(folder / 'work_dir'),
        test_dataloader=dict(
            dataset=dict(type='ToyRetrieval'),
            batch_size=4,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        test_cfg=dict(),
        test_evaluator=dict(
            type='mmtpr.PersonRetrievalMetric',
            topk_tokens=2,
            save_ranking=str(folder / 'ranking.json'),
        ),
    )
    metrics = runner.test()
    if rank == 0:
        (folder / 'numbers.json').write_text(json.dumps(metrics))


if __name__ == '__main__':
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
