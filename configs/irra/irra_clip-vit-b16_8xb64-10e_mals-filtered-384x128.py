# Pre-training on MALS, filtered against captions of CUHK-PEDES. The release
# keeps ranks 1 to 49 of 10,000 where the paper says "top 50"; this follows the
# release. Every MALS image is a person of its own, so there is no ID loss.
_base_ = [
    '../_base_/datasets/mals.py',
    '../_base_/datasets/cuhk_pedes_clip.py',
    '../_base_/models/clip_vit_b16.py',
    '../_base_/schedules/adam_60e.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmtpr.RelevanceFilteredDataset',
        dataset=dict(_base_.mals_train, pipeline=_base_.train_pipeline),
        scores='data/MALS/relevance_cuhk.npz',
        max_rank=49))

model = dict(
    losses=dict(
        _delete_=True,
        sdm=dict(type='mmtpr.SDMLoss'),
        mlm=dict(type='mmtpr.MLMLoss')))

max_epochs = 10
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.1,
        begin=0,
        end=1,
        convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        T_max=max_epochs - 1,
        begin=1,
        end=max_epochs,
        convert_to_iter_based=True),
]
# The learning rate belongs to 8 GPUs x 64.
optim_wrapper = dict(optimizer=dict(lr=1e-4))
auto_scale_lr = dict(base_batch_size=512)
