# Triplets of reference, target and sentence at 384 x 128 (height x width) for
# CLIP. Reference and target flip together: left stays left.
_base_ = ['./loaders.py']

load = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(128, 384), keep_ratio=False),
]
tokenize = dict(type='mmtpr.TokenizeCaption')  # that of the encoder

triplet_pipeline = [
    dict(type='mmtpr.ImageTransforms', transforms=load),
    dict(
        type='mmtpr.ImageTransforms',
        transforms=load,
        mapping=dict(img_path='reference_path', img='reference_img')),
    dict(type='mmtpr.SharedFlip', prob=0.5),
    tokenize,
    dict(
        type='mmtpr.PackRetrievalInputs',
        image_keys=dict(image='img', reference='reference_img')),
]
# Images with their captions, and queries and gallery: one image each.
plain_pipeline = [
    dict(type='mmtpr.ImageTransforms', transforms=load),
    tokenize,
    dict(type='mmtpr.PackRetrievalInputs'),
]

train_dataloader = dict(batch_size=128)

# Rows for image alone, text alone, their sum and the composed query.
val_evaluator = dict(type='mmtpr.ComposedRetrievalMetric')
test_evaluator = val_evaluator
