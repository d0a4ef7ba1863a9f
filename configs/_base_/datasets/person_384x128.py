# Pictures at 384 x 128 (height x width) and captions for CLIP's text tower.
# mmcv gives scales as (width, height).
train_pipeline = [
    dict(
        type='mmtpr.ImageTransforms',
        transforms=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(128, 384), keep_ratio=False),
            dict(type='RandomFlip', prob=0.5),
            dict(type='mmtpr.PadCrop', padding=10),
            dict(type='mmtpr.RandomErasingMean', prob=0.5),
        ]),
    dict(type='mmtpr.TokenizeCaption', tokenizer='ViT-B-16'),
    dict(type='mmtpr.MaskTokens', prob=0.15),
    dict(type='mmtpr.PackRetrievalInputs'),
]

test_pipeline = [
    dict(
        type='mmtpr.ImageTransforms',
        transforms=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(128, 384), keep_ratio=False),
        ]),
    dict(type='mmtpr.TokenizeCaption', tokenizer='ViT-B-16'),
    dict(type='mmtpr.PackRetrievalInputs'),
]

train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    # Workers that live on keep their random state, and a resumed run would
    # then differ from the one that was never stopped.
    persistent_workers=False,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    worker_init_fn=dict(type='mmtpr.seed_worker'))
val_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False))
test_dataloader = val_dataloader

val_evaluator = dict(type='mmtpr.PersonRetrievalMetric')
test_evaluator = val_evaluator
