# Images at 384 x 128 (height x width) and captions for CLIP's text tower.
# mmcv gives scales as (width, height).
_base_ = ['./loaders.py']

load = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(128, 384), keep_ratio=False),
]
tokenize = dict(type='mmtpr.TokenizeCaption')  # that of the encoder

train_images = dict(
    type='mmtpr.ImageTransforms',
    transforms=[
        *load,
        dict(type='mmtpr.SharedFlip', prob=0.5),
        dict(type='mmtpr.PadCrop', padding=10),
        dict(type='mmtpr.RandomErasingMean', prob=0.5),
    ])
pack = dict(type='mmtpr.PackRetrievalInputs')

train_pipeline = [
    train_images,
    tokenize,
    dict(type='mmtpr.MaskTokens', prob=0.15),
    pack,
]
# Captions whose words are hidden, changed and dropped, as RDE trains.
perturbed_pipeline = [
    train_images,
    tokenize,
    dict(type='mmtpr.PerturbTokens', prob=0.2),
    pack,
]

test_pipeline = [
    dict(type='mmtpr.ImageTransforms', transforms=load),
    tokenize,
    pack,
]

val_evaluator = dict(type='mmtpr.PersonRetrievalMetric')
test_evaluator = val_evaluator
