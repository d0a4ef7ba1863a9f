"""Projects of others that put mmtpr's relevance filter around their data.

Run by ``tests/helpers/fresh_process.py``. A case is ``folder|dataset
|imports``. The folder holds images, annotations of both datasets, and a
score file. Nothing here imports mmtpr before the ``Runner`` does: the config
alone reaches it.
"""

import sys

PRELOAD = ['mmengine.runner', 'mmcv.transforms', 'mmpretrain.models', 'timm']

CONFIG = """
default_scope = 'mmpretrain'
{custom_imports}
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True),
    backbone=dict(type='ResNet_CIFAR', depth=18),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=2, in_channels=512,
              loss=dict(type='CrossEntropyLoss')))
dataset = dict(
    {dataset},
    data_prefix=dict(img_path='{folder}/images'),
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=32),
        dict(type='PackInputs', meta_keys=('img_path',)),
    ])
train_dataloader = dict(
    batch_size=2, num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='mmtpr.RelevanceFilteredDataset', dataset=dataset,
        scores='{folder}/scores.npz', max_rank=5))
train_cfg = dict(by_epoch=True, max_epochs=2)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01))
custom_hooks = [dict(type='mmengine.RecordImages')]
work_dir = '{folder}/work'
"""

# One registered with mmengine, one with mmpretrain and built upon its own.
DATASETS = {
    'mmengine': 'type="mmengine.CaptionedImages", '
    'ann_file="{folder}/pairs.json"',
    'mmpretrain': 'type="CaptionedFolder", ann_file="{folder}/classes.txt", '
    'classes=["dark", "light"], captions="{folder}/captions.json"',
}


def register_parts() -> type:
    """The projects' own datasets and hook, none of them mmtpr's."""
    import mmengine
    from mmengine.dataset import BaseDataset
    from mmengine.hooks import Hook
    from mmengine.registry import DATASETS, HOOKS
    from mmpretrain.datasets import CustomDataset
    from mmpretrain.registry import DATASETS as MMPRETRAIN_DATASETS

    @DATASETS.register_module()
    class CaptionedImages(BaseDataset):
        METAINFO = dict(classes=('dark', 'light'))

    @MMPRETRAIN_DATASETS.register_module()
    class CaptionedFolder(CustomDataset):
        def __init__(self, captions, **kwargs):
            self.captions = mmengine.load(captions)
            super().__init__(**kwargs)

        def load_data_list(self):
            data_list = super().load_data_list()
            for info in data_list:
                name = info['img_path'].rsplit('/', 1)[-1]
                info['text'] = self.captions[name]
            return data_list

    @HOOKS.register_module()
    class RecordImages(Hook):
        seen = []

        def after_train_iter(self, runner, batch_idx, data_batch, outputs):
            assert outputs['loss'].isfinite()
            self.seen += [s.img_path for s in data_batch['data_samples']]

    return RecordImages


def main(case: str) -> dict:
    """Train on the filtered data; return the images seen."""
    folder, name, imports = case.split('|')
    hook = register_parts()
    from mmengine.config import Config
    from mmengine.runner import Runner

    lines = {
        '{custom_imports}': 'custom_imports = dict(imports=["mmtpr"])'
        if imports == 'custom_imports'
        else '',
        '{dataset}': DATASETS[name],
        '{folder}': folder,
    }
    text = CONFIG
    for key, value in lines.items():
        text = text.replace(key, value)
    cfg = Config.fromstring(text, '.py')
    early = 'mmtpr' in sys.modules
    runner = Runner.from_cfg(cfg)
    runner.train()
    wrapper = runner.train_dataloader.dataset
    return dict(
        mmtpr_before_runner=early,
        wrapper=f'{type(wrapper).__module__}.{type(wrapper).__name__}',
        inner=[
            f'{c.__module__}.{c.__name__}' for c in type(wrapper.dataset).mro()
        ],
        metainfo=list(wrapper.metainfo.get('classes', ())),
        length=[len(wrapper), len(wrapper.dataset)],
        seen=[path.rsplit('/', 1)[-1] for path in hook.seen],
    )
