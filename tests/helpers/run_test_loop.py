"""The ordinary test loop with PersonRetrievalMetric, as one of N processes.

Usage: run_test_loop.py RANK WORLD_SIZE FOLDER. Rank 0 writes numbers.json.
"""

import torch
from mmengine.dataset import BaseDataset
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS
from mmengine.runner import Runner
from retrieval_worker import main, queries_and_gallery

from mmtpr.structures import RetrievalDataSample
from mmtpr.testing import disturb_rows

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
    """Features from the number of a sample and its place in the batch."""

    def forward(self, inputs, data_samples=None, mode='tensor'):
        assert mode == 'predict'
        rows = []
        for index, sample in zip(inputs, data_samples, strict=True):
            generator = torch.Generator().manual_seed(int(index) % 70)
            features = torch.randn(TOKENS, DIM, generator=generator)
            features[..., sample.pid] += 1
            rows.append(features)
        rows = disturb_rows(torch.stack(rows).flatten(1))
        rows = rows.unflatten(1, (TOKENS, DIM))
        for features, sample in zip(rows, data_samples, strict=True):
            query = sample.role == 'query'
            sample.features = features[0] if query else features
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
            batch_sampler=dict(type='mmtpr.WholeBatchSampler'),
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
