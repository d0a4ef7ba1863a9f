"""The ordinary test loop with PersonRetrievalMetric, as one of N processes.

Usage: run_test_loop.py RANK WORLD_SIZE FOLDER. Rank 0 writes numbers.json.
"""

import sys
from pathlib import Path

import torch
from mmengine.dataset import BaseDataset
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS
from mmengine.runner import Runner

from mmtpr.structures import RetrievalDataSample

sys.path.insert(0, str(Path(__file__).parents[2] / 'helpers'))

from retrieval_worker import main, queries_and_gallery

sys.path.pop(0)

NUM_IDS, NUM_QUERIES, NUM_GALLERY, TOKENS, DIM = 9, 41, 50, 3, 16


@DATASETS.register_module()
class ToyRetrieval(BaseDataset):
    """Queries, then gallery; the sample knows its place."""

    def load_data_list(self):
        return queries_and_gallery(NUM_IDS, NUM_QUERIES, NUM_GALLERY)

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


def test(folder):
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
    return runner.test()


if __name__ == '__main__':
    main(test)
