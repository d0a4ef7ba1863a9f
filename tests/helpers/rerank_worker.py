"""A small test set re-ranked by a tiny model, as one of N processes.

Usage: rerank_worker.py RANK WORLD_SIZE FOLDER. Rank 0 writes numbers.json.
"""

import zlib

import torch
import torch.nn.functional as F
from mmengine.dataset import BaseDataset, pseudo_collate
from mmengine.registry import DATASETS, MODELS
from mmengine.runner import Runner
from retrieval_worker import main, queries_and_gallery

from mmtpr.structures import RetrievalDataSample
from mmtpr.testing import TinyCrossModel, disturb_kernels

PROMPTS = [(f'no thing {i}', f'a thing {i}') for i in range(3)]
NUM_IDS, NUM_QUERIES, NUM_GALLERY = 6, 41, 36


@DATASETS.register_module(force=True)
class CaptionsAndImages(BaseDataset):
    """Queries of 3 to 20 tokens, then images of coloured patches."""

    def __init__(
        self,
        roles=('query', 'gallery'),
        tokens=True,
        images=True,
        **kwargs,
    ):
        self.roles, self.tokens, self.images = roles, tokens, images
        super().__init__(**kwargs)

    def load_data_list(self):
        samples = queries_and_gallery(NUM_IDS, NUM_QUERIES, NUM_GALLERY)
        return [item for item in samples if item['role'] in self.roles]

    def prepare_data(self, idx):
        info = self.get_data_info(idx)
        sample = RetrievalDataSample(metainfo=info)
        generator = torch.Generator().manual_seed(idx)
        image = None
        if info['role'] == 'query' and self.tokens:
            tokens = torch.randint(1, 60, (20,), generator=generator)
            tokens[3 + idx % 18 :] = 0
            sample.tokens = tokens
        if info['role'] == 'gallery' and self.images:
            image = patches(generator)
        return dict(inputs=dict(image=image), data_samples=sample)


@DATASETS.register_module(force=True)
class AttributeImages(BaseDataset):
    """Images with three attributes."""

    METAINFO = dict(num_attributes=3, attributes=('a', 'b', 'c'))

    def __init__(self, images=True, **kwargs):
        self.images = images
        super().__init__(**kwargs)

    def load_data_list(self):
        return [
            dict(img_path=f'{i}.jpg', attributes=[i % 2, i // 2 % 2, i // 5])
            for i in range(10)
        ]

    def prepare_data(self, idx):
        sample = RetrievalDataSample(metainfo=self.get_data_info(idx))
        image = patches(torch.Generator().manual_seed(idx))
        image = image if self.images else None
        return dict(inputs=dict(image=image), data_samples=sample)


@MODELS.register_module(force=True)
def seeded_cross_model():
    """The same weights in every process."""
    torch.manual_seed(3)
    model = TinyCrossModel()
    for linear in (model.itm_head[0], model.itm_head[3], model.text_proj):
        linear.weight.data.mul_(5)  # scores that differ clearly
    return model


@MODELS.register_module(force=True)
def uneven_cross_model():
    """The same on a processor whose kernels treat rows differently."""
    return disturb_kernels(seeded_cross_model())


def model_cfg():
    return dict(type='seeded_cross_model')


def patches(generator):
    """An image of 3 x 2 colours, so that features differ clearly."""
    colours = torch.randint(256, (1, 3, 3, 2), generator=generator)
    return F.interpolate(colours.float(), (64, 32))[0].to(torch.uint8)


def words_of(results):
    """Tokens from a checksum of each word."""
    ids = [1 + zlib.crc32(w.encode()) % 99 for w in results['caption'].split()]
    return dict(results, tokens=torch.tensor(ids + [0] * (6 - len(ids))))


def set_of(dataset):
    """All samples as one batch."""
    return pseudo_collate([dataset[i] for i in range(len(dataset))])


def loader(dataset, batch_size=8):
    return dict(
        dataset=dataset,
        batch_size=batch_size,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        batch_sampler=dict(type='mmtpr.WholeBatchSampler'),
    )


def runner_of(
    folder, stage, evaluator=None, data=None, loop=True, model=None, **kwargs
):
    """A runner that only tests or validates."""
    name = f'mmtpr.Rerank{stage.capitalize()}Loop'
    cfg = dict(type=name, num_candidates=7, gallery_block=10, pair_batch=6)
    ours = dict(
        type='mmtpr.RerankedRetrievalMetric',
        save_ranking=str(folder / 'ranking.json'),
    )
    parts = dict(
        dataloader=loader(dict(type='CaptionsAndImages', **(data or {}))),
        cfg=dict(cfg, **kwargs) if loop else dict(),
        evaluator=evaluator or ours,
    )
    return Runner(
        model=model or model_cfg(),
        work_dir=str(folder / 'work_dir'),
        experiment_name=f'{stage}_{id(parts)}',
        **{f'{stage}_{name}': part for name, part in parts.items()},
    )


def attribute_runner(folder, prompts=PROMPTS, words=None, model=None, **data):
    """A runner that only tests attributes."""
    return Runner(
        model=model or model_cfg(),
        work_dir=str(folder / 'work_dir'),
        test_dataloader=loader(
            dict(type='AttributeImages', **data), batch_size=4
        ),
        test_cfg=dict(
            type='mmtpr.AttributeTestLoop',
            prompts=prompts,
            tokenizer=words or words_of,
            pair_batch=5,
        ),
        test_evaluator=dict(type='mmtpr.AttributeMetric'),
        experiment_name=f'attributes_{folder.name}_{id(words)}',
    )


if __name__ == '__main__':

    def both(folder):
        """Re-ranking, and attributes by prompts."""
        uneven = dict(type='uneven_cross_model')
        numbers = runner_of(folder, 'test', model=uneven).test()
        numbers.update(attribute_runner(folder, model=uneven).test())
        return numbers

    main(both)
