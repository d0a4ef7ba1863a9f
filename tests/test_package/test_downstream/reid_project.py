"""mmdet's stock person re-identification with a backbone that mmtpr adapts.

Run by ``tests/helpers/fresh_process.py``; the case is the folder of data,
config and work directory, which is named after one of ``BACKBONES``. The
stock config is changed where it must be: data of a few made images, adapters
in the backbone, and no ``init_cfg``, which would load weights over them. What
mmdet compiled into full mmcv, and person re-identification never calls, is
replaced where mmcv-lite is installed.
"""

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

PRELOAD = ['mmengine.runner', 'mmcv.transforms']

CONFIG = """
_base_ = ['mmdet::reid/reid_r50_8xb32-6e_mot17train80_test-mot17val20.py']
data = dict(data_root='{folder}/')
train_dataloader = dict(
    num_workers=0, persistent_workers=False,
    dataset=dict(data, triplet_sampler=dict(num_ids=4, ins_per_id=2)))
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=data)
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=1)
val_evaluator = dict(metric_options=dict(rank_list=[1, 5], max_rank=5))
test_evaluator = val_evaluator
work_dir = '{folder}/work'
"""

#: Appended to the config. The ResNet is the stock one, only thinner; as its
#: weights are random here, norms of zero, which are frozen, would stop its
#: branches for good.
BACKBONES = dict(
    resnet="""
model = dict(
    init_cfg=None,
    backbone=dict(
        _delete_=True,
        type='mmtpr.WoRAModel',
        module=dict(
            type='mmpretrain.ResNet',
            depth=50,
            num_stages=4,
            out_indices=(3, ),
            style='pytorch',
            stem_channels=8,
            base_channels=8,
            zero_init_residual=False),
        rank=4,
        targets=[dict(type=r'layer\\d\\.\\d+\\.conv\\d')]),
    head=dict(in_channels=256, num_classes=8))
""",
    transformer="""
model = dict(
    init_cfg=None,
    backbone=dict(
        _delete_=True,
        type='mmtpr.WoRAModel',
        module=dict(
            type='mmpretrain.VisionTransformer',
            arch='deit-tiny',
            img_size=(256, 128),
            patch_size=32),
        rank=4,
        targets=[dict(type=r'layers\\.\\d+\\.attn\\.qkv')]),
    neck=None,
    head=dict(in_channels=192, num_classes=8))
""",
)


def write_project(folder: Path) -> Path:
    """Eight persons of two images, in MOT's layout, and the config."""
    import mmcv
    import numpy as np

    random = np.random.default_rng(0)
    lines = []
    for pid in range(8):
        for view in range(2):
            image = random.integers(0, 60, (64, 32, 3)) + 20 * pid
            name = f'{pid}_{view}.png'
            path = folder / 'reid/imgs' / name
            mmcv.imwrite(image.astype(np.uint8), str(path))
            lines.append(f'{name} {pid}')
    (folder / 'reid/meta').mkdir()
    for name in ('train_80.txt', 'val_20.txt'):
        (folder / 'reid/meta' / name).write_text('\n'.join(lines))
    config = folder / 'config.py'
    text = CONFIG.replace('{folder}', folder.as_posix())
    config.write_text(text + BACKBONES[folder.name])
    return config


#: Those that mmdet names.
SUBMODULES = (
    *('mmcv.ops.carafe', 'mmcv.ops.merge_cells', 'mmcv.ops.nms'),
    *('mmcv.ops.modulated_deform_conv', 'mmcv.ops.roi_align'),
)


class _Ops(ModuleType):
    """Stands for ``mmcv.ops``: any name is a class that nobody calls."""

    def __getattr__(self, name: str) -> type:
        if name.startswith('__'):
            raise AttributeError(name)
        return type(name, (), {})


def allow_lite() -> None:
    """Let mmdet be imported beside mmcv-lite and a newer mmcv."""
    import mmcv

    if find_spec('mmcv._ext') is None:
        for name in ('mmcv.ops', *SUBMODULES):
            sys.modules[name] = _Ops(name)
        # Made of ops, so mmcv-lite's module is without it.
        attention = import_module('mmcv.cnn.bricks.transformer')
        attention.MultiScaleDeformableAttention = object
    version, mmcv.__version__ = mmcv.__version__, '2.1.0'
    import mmdet  # noqa: F401

    mmcv.__version__ = version


def main(case: str) -> dict:
    """Train and validate; return what the test asserts on."""
    config = write_project(Path(case))
    allow_lite()
    from mmengine.config import Config
    from mmengine.runner import Runner

    runner = Runner.from_cfg(Config.fromfile(config))
    model = runner.model
    before = {k: v.detach().clone() for k, v in model.named_parameters()}
    runner.train()
    after = dict(model.named_parameters())
    return dict(
        classes=[type(m).__module__ for m in (model, model.backbone)],
        moved=[k for k, v in before.items() if not v.equal(after[k])],
        trained=[k for k, v in after.items() if v.requires_grad],
        iterations=runner.iter,
        metrics=runner.val(),
    )
