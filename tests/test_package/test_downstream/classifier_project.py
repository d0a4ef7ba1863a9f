"""An ordinary mmpretrain project that takes one part from mmtpr.

Run by ``tests/helpers/fresh_process.py``. A case is ``folder|with or
without``, the folder being where data, config and work directory go. Nothing
here imports mmtpr before the ``Runner`` has built the model: the config alone
reaches it.
"""

import sys
from pathlib import Path

PRELOAD = ['mmengine.runner', 'mmcv.transforms', 'mmpretrain.models', 'timm']

CONFIG = """
default_scope = 'mmpretrain'
{custom_imports}
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True),
    backbone=dict(
        type='mmtpr.WoRAModel',
        module=dict(
            type='mmpretrain.VisionTransformer',
            arch='deit-tiny',
            img_size=32,
            patch_size=8,
            drop_path_rate=0.1),
        rank=4,
        alpha=4.0,
        targets=[
            dict(type=r'layers\\.\\d+\\.attn\\.qkv'),
            dict(type=r'layers\\.\\d+\\.ffn\\.layers\\.0\\.0', rank=2),
        ]),
    neck=None,
    head=dict(
        type='VisionTransformerClsHead', num_classes=2, in_channels=192,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0)))
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=32),
    dict(type='PackInputs'),
]
dataset = dict(
    type='CustomDataset', data_root='{folder}/images', pipeline=pipeline)
train_dataloader = dict(
    batch_size=4, num_workers=0, dataset=dataset,
    sampler=dict(type='DefaultSampler', shuffle=True))
val_dataloader = dict(
    batch_size=4, num_workers=0, dataset=dataset,
    sampler=dict(type='DefaultSampler', shuffle=False))
val_evaluator = dict(type='Accuracy', topk=(1, ))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=6, val_interval=6)
val_cfg = dict()
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=0.01))
default_hooks = dict(
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=6))
log_processor = dict(by_epoch=False)
randomness = dict(seed=0)
work_dir = '{folder}/work'
"""


def write_project(folder: Path, custom_imports: bool) -> Path:
    """Two classes of four images, and the config."""
    import mmcv
    import numpy as np

    random = np.random.default_rng(0)
    for label in (0, 1):
        for index in range(4):
            image = random.integers(0, 60, (32, 32, 3)) + 150 * label
            path = folder / f'images/class{label}/{index}.png'
            mmcv.imwrite(image.astype(np.uint8), str(path))
    line = 'custom_imports = dict(imports=["mmtpr"])' if custom_imports else ''
    config = folder / 'config.py'
    text = CONFIG.replace('{custom_imports}', line)
    config.write_text(text.replace('{folder}', folder.as_posix()))
    return config


def copy_state(model) -> dict:
    """A snapshot of all parameters."""
    return {k: v.detach().clone() for k, v in model.named_parameters()}


def outputs(model):
    """Logits of fixed images in evaluation mode."""
    import torch

    images = torch.randn(3, 3, 32, 32, generator=torch.manual_seed(1))
    model.eval()
    with torch.no_grad():
        return model.head(model.extract_feat(images))


def main(case: str) -> dict:
    """Train, save, reload, merge; return what the test asserts on."""
    folder, imports = case.split('|')
    config = write_project(Path(folder), imports == 'custom_imports')
    from mmengine.config import Config
    from mmengine.runner import Runner

    cfg = Config.fromfile(config)
    early = 'mmtpr' in sys.modules
    runner = Runner.from_cfg(cfg)
    model = runner.model
    before = copy_state(model)
    runner.train()
    report = dict(mmtpr_before_runner=early, **compare(before, model))
    report['classes'] = [
        f'{type(m).__module__}.{type(m).__name__}'
        for m in (model, model.backbone, model.backbone.module)
    ]
    cfg.work_dir += '_again'
    cfg.load_from = f'{folder}/work/iter_6.pth'
    report.update(reload_and_merge(cfg, model))
    return report


def compare(before: dict, model) -> dict:
    """Which parameters moved, which were free to, which are finite."""
    after = dict(model.named_parameters())
    moved = [k for k, v in before.items() if not v.equal(after[k])]
    return dict(
        names=list(after),
        moved=moved,
        trainable=[k for k, v in after.items() if v.requires_grad],
        finite=all(v.isfinite().all().item() for v in after.values()),
    )


def reload_and_merge(cfg, model) -> dict:
    """Test a fresh model from the checkpoint, then merge and unmerge it."""
    from mmengine.runner import CheckpointLoader, Runner

    from mmtpr.models.adapters import (
        adapter_state_dict,
        merge_adapters,
        unmerge_adapters,
    )

    trained = outputs(model)
    runner = Runner.from_cfg(cfg)
    untrained = outputs(runner.model)
    metrics = runner.val()
    again = runner.model
    reloaded = outputs(again)
    weights = copy_state(again)
    merge_adapters(again)
    merged = outputs(again)
    unmerge_adapters(again)
    restored = copy_state(again)
    saved = CheckpointLoader.load_checkpoint(cfg.load_from)['state_dict']
    return dict(
        accuracy=metrics['accuracy/top1'],
        untrained_gap=(untrained - trained).abs().max().item(),
        reload_gap=(reloaded - trained).abs().max().item(),
        merge_gap=(merged - trained).abs().max().item(),
        unmerged_gap=(outputs(again) - trained).abs().max().item(),
        restored=all(v.equal(restored[k]) for k, v in weights.items()),
        saved=list(saved),
        adapter_keys=list(adapter_state_dict(again)),
    )
